"""An HTML page as a test reads it."""

import re
from html.parser import HTMLParser
from itertools import pairwise

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """The elements of a page, each closed in its turn, and its texts by element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], "an element that is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"{tag} closes another element"

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self._open[-1] if self._open else "", data.strip()))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each of these elements."""
        return [attributes for name, attributes in self.elements if name == tag]

    def of(self, *tags: str) -> list[str]:
        """The texts in these elements."""
        return [text for tag, text in self.texts if tag in tags]

    def terms(self) -> list[tuple[str, str]]:
        """The terms of the page and what it says of each."""
        return list(zip(self.of("dt"), self.of("dd"), strict=True))


def check_page(text: str) -> Page:
    """Assert what holds for every page of this project, and return it as a test reads it."""
    page = Page(text)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == levels.count(1) == 1
    assert all(level <= before + 1 for before, level in pairwise(levels))
    (html,) = page.all("html")
    assert html["lang"] == "en"
    for landmark in ("header", "nav", "main", "footer"):
        assert len(page.all(landmark)) == 1
    assert all(heading.get("scope") in ("col", "row") for heading in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(image.get("alt") for image in page.all("img"))
    assert all(drawing["role"] == "img" for drawing in page.all("svg"))
    regions = [region for region in page.all("div") if region.get("class") == "scroll"]
    assert len(regions) == len(page.all("table"))
    for region in regions:
        assert (region["tabindex"], region["role"]) == ("0", "region")
        assert region["aria-label"]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name) is None or attributes[name] in ids
        link = attributes.get("href") or ""
        assert not link.startswith("#") or link[1:] in ids
    for reference in references(page, text):
        assert reference.startswith(("#", "data:image/jpeg;base64,", "data:,")), reference
    assert "http://" not in text
    assert "https://" not in text
    policy = page.all("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert str(policy["content"]).startswith("default-src 'none'; ")
    return page


def references(page: Page, text: str) -> set[str]:
    """Whatever a page could load."""
    loading = ("src", "href", "data", "action", "poster", "srcset", "xlink:href", "background")
    values = {
        str(attributes[name])
        for _, attributes in page.elements
        for name in loading
        if name in attributes
    }
    return values | set(re.findall(r"url\(([^)]*)\)", text)) | set(re.findall(r"@import.*", text))
