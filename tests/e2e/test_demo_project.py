"""`./duet up --with-label-studio` makes a project of sample pictures, whose address shows predictions at once."""

import re

import pytest
import requests

from label_studio import Project

TITLE = "Duet's samples"


def projects_of(studio):
    listed = studio.call("GET", "/api/projects/?page_size=1000")["results"]
    return [project["id"] for project in listed if project["title"] == TITLE]


def test_a_project_of_sample_pictures_is_made_once_and_its_address_printed(duet, studio):
    mark = duet.state / "label-studio/demo_project"
    mark.unlink(missing_ok=True)
    try:
        printed = duet.up("--with-label-studio", "--demo-project=yes").stdout
        again = duet.up("--with-label-studio").stdout

        (number,) = projects_of(studio)
        address = re.search(r"sample picture, with predictions: (\S+)", printed)[1]
        assert re.fullmatch(re.escape(studio.url) + rf"/projects/{number}/data\?task=(\d+)", address) and address in again
        predictions = Project(studio, number).predictions()
        assert len(predictions) == 4 and all(stored and stored[0]["result"] for stored in predictions.values())
        assert min(predictions) == int(address.rsplit("=", 1)[1])
        (backend,) = studio.call("GET", f"/api/ml?project={number}")
        assert (backend["url"], backend["state"], backend["is_interactive"]) == (duet.url, "CO", True)
        assert "Create a project" not in again and "connected project" in again
    finally:
        for project in projects_of(studio):
            Project(studio, project).delete()
        duet.up("--demo-project=no")
        mark.unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_its_pages_belong_to_the_name_that_they_are_opened_at(duet, name):
    """With a LABEL_STUDIO_HOST they load their scripts from there: a foreign origin for who came by another name."""
    url = f"http://{name}:{duet.label_studio_port}"
    with requests.Session() as browser:
        login = browser.get(f"{url}/user/login/", timeout=30)
        page = browser.post(f"{url}/user/login/", timeout=30, headers={"Origin": url, "Referer": f"{url}/user/login/"}, data={
            "csrfmiddlewaretoken": browser.cookies["csrftoken"], "email": "duet@example.com",
            "password": (duet.state / "label-studio" / "password").read_text()})

    assert login.ok and page.ok and page.url.startswith(url) and "/user/login" not in page.url
    for text in (login.text, page.text):
        sources = re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]*)"', text)
        assert sources and not [each for each in sources if re.match(r"(https?:)?//(127|localhost)", each)]
