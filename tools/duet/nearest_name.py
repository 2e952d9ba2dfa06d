"""Prints which of some names was probably meant, as the end of a sentence: "; did you mean 'status'?", or nothing.

usage: nearest_name.py WRITTEN <NAMES
NAMES are separated by blanks or line breaks. How words are joined (-, _) makes no difference. The programs do the same for their
flags (lib/text/nearest_name.h).
"""

import difflib
import sys


def nearest_name(written, names):
    """The name that is most like `written`, with at least three letters in four the same; "" if none is."""
    by_letters = {name.replace("-", "_").lower(): name for name in names}
    found = difflib.get_close_matches(written.replace("-", "_").lower(), by_letters, n=1, cutoff=0.75)
    return by_letters[found[0]] if found else ""


def did_you_mean(written, names):
    name = nearest_name(written, names)
    return f"; did you mean '{name}'?" if name else ""


def main():
    if question := did_you_mean(sys.argv[1], sys.stdin.read().split()):
        print(question)


if __name__ == "__main__":
    main()
