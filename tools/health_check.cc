// duet-health-check: whether a process that is up says that it is ready. For an engine's health
// checks in images that have neither a shell nor curl. A program of its own, since the models'
// processes take a second of CPU to load their libraries, each time they would be asked.
//
// Asks through no proxy. Answers over TLS are taken without looking at the certificate: whoever
// could pretend to be this machine is on it.
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <curl/curl.h>

#include <algorithm>
#include <cstddef>
#include <iostream>
#include <memory>
#include <string>

#include "serving/version.h"

namespace {

constexpr char kHelp[] =
    R"(usage: duet-health-check URL

Asks a process of this machine whether it is ready, for five seconds at most.

Exit code 0: the answer was 2xx; 1: it wasn't, or there was none, and one line says why; 2: asked wrongly.

Example: duet-health-check http://127.0.0.1:9101/readyz
)";
constexpr long kPatienceMs = 5000;
constexpr std::size_t kMaxLine = 500;

// "" if the URL has no such part.
std::string PartOf(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return "";
  const std::unique_ptr<char, decltype(&curl_free)> freed(text, &curl_free);
  return text;
}

bool IsOfThisMachine(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
  if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return false;
  const std::string scheme = PartOf(parsed.get(), CURLUPART_SCHEME);
  const std::string host = PartOf(parsed.get(), CURLUPART_HOST);
  return (scheme == "http" || scheme == "https") &&
         (host == "localhost" || host == "[::1]" ||
          (absl::StartsWith(host, "127.") &&
           host.find_first_not_of("0123456789.") == std::string::npos));
}

// Keeps the beginning; takes the rest, too, so that the transfer ends in order.
std::size_t Keep(char* bytes, std::size_t size, std::size_t count, void* body) {
  auto& kept = *static_cast<std::string*>(body);
  kept.append(bytes, std::min(size * count, kMaxLine - kept.size()));
  return size * count;
}

// What is wrong, in one line; "" if nothing is.
std::string Ask(const std::string& url) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> transfer(curl_easy_init(),
                                                                     &curl_easy_cleanup);
  std::string body;
  char reason[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(transfer.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(transfer.get(), CURLOPT_PROXY, "");
  curl_easy_setopt(transfer.get(), CURLOPT_TIMEOUT_MS, kPatienceMs);
  curl_easy_setopt(transfer.get(), CURLOPT_SSL_VERIFYPEER, 0L);
  curl_easy_setopt(transfer.get(), CURLOPT_SSL_VERIFYHOST, 0L);
  curl_easy_setopt(transfer.get(), CURLOPT_WRITEFUNCTION, &Keep);
  curl_easy_setopt(transfer.get(), CURLOPT_WRITEDATA, &body);
  curl_easy_setopt(transfer.get(), CURLOPT_ERRORBUFFER, reason);
  if (const CURLcode code = curl_easy_perform(transfer.get()); code != CURLE_OK) {
    return absl::StrCat(url, ": ", reason[0] == '\0' ? curl_easy_strerror(code) : reason);
  }
  long status = 0;
  curl_easy_getinfo(transfer.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status >= 200 && status < 300) return "";
  return absl::StrCat(url, " answered ", status, ": ", body.substr(0, body.find('\n')));
}

}  // namespace

int main(int argc, char** argv) {
  if (serving::PrintedVersion("duet-health-check", argc, argv)) return 0;
  const std::string url = argc == 2 ? argv[1] : "";
  if (url == "--help") {
    std::cout << kHelp;
    return 0;
  }
  if (!IsOfThisMachine(url)) {
    std::cerr << "duet-health-check: '" << url
              << "': must be one URL of this machine, as http://127.0.0.1:9101/readyz\n";
    return 2;
  }
  const std::string wrong = Ask(url);
  if (!wrong.empty()) std::cerr << wrong << "\n";
  return wrong.empty() ? 0 : 1;
}
