"""Every page is reached by the navigation and by its own link, whoever comes first."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.serving import serve

TITLES = {
    "why_it_stops": "Why it stops",
    "put_novel_tokens_late": "Put novel tokens late",
    "where_it_pays": "Where it pays",
    "one_user_many_users": "One user, many users",
    "inside_the_cache": "Inside the cache",
    "the_bill": "The bill",
    "room": "Room",
    "side_channel": "The side channel",
}


def test_all_pages_are_reached_from_the_first(page: Page, app: str) -> None:
    page.goto(app)
    for path, title in TITLES.items():
        page.get_by_role("link", name=title, exact=True).click()
        expect(page.get_by_role("heading", level=1, name=title)).to_be_visible()
        expect(page).to_have_url(re.compile(rf"/{path}(\?|$)"))


@pytest.mark.parametrize("path", ["the_bill", "room"])
def test_a_servers_first_visitor_may_follow_a_link_to_any_page(page: Page, path: str) -> None:
    with serve("app.py") as address:
        page.goto(f"{address}/{path}")
        expect(page.get_by_role("link", name="Two prompts", exact=True)).to_be_visible()
        title = page.get_by_role("heading", level=1, name=TITLES[path])
        expect(title).to_be_visible()
        page.close()
