"""Reports of search terms, as analytics and shops export them."""

import pytest

from shopvl.catalog.search_terms import SearchTerms
from shopvl.errors import CatalogError

TERMS = [("black shoes", 1204), ("t shirt", 60)]
GA4 = """# ----------------------------------------
# Pages and screens: Search term
# Start date: 20260101
# ----------------------------------------

Search term,Event count,Total users
black shoes,"1,204",800
(not set),88,70
t shirt,60,50
,15,12
Grand total,"1,367",900
"""
ADS = """Search terms report
"January 1, 2026 - January 31, 2026"
Search term,Match type,Clicks,Impr.
black shoes,Broad match,120,"1,204"
t shirt,Exact match,30,60
Total: Search terms, --,150,"1,264"
Total: Account, --,170,"1,300"
"""


@pytest.mark.parametrize(
    ("text", "columns", "passed"),
    [
        (GA4, ("Search term", "Event count"), {"rows without a term": 2}),
        (ADS, ("Search term", "Impr."), {}),
        ('"Search query","Sessions with searches"\n"black shoes","1204"\n"t shirt","60"\n"zero","0"\n', None, None),
        (
            '"Search query","Sessions with searches","Searches with no results"\nblack shoes,1204,0\nt shirt,60,9\n',
            ("Search query", "Sessions with searches"),
            {},
        ),
        ("Query;Count\nblack shoes;1.204\nt shirt;60\n", ("Query", "Count"), {}),
        (
            "Top queries,Clicks,Impressions,CTR\nblack shoes,3,1204,0.2%\nt shirt,1,60,1%\n",
            ("Top queries", "Impressions"),
            {},
        ),
        (
            "search,count,nbHits\nblack shoes,1204,0\nt shirt,60,3\n-,4,1\n",
            ("search", "count"),
            {"rows without a term": 1},
        ),
        ("Suchbegriff\tKlicks\tAufrufe\nblack  shoes\t1\t1 204\nt shirt\t2\t60\n", ("Suchbegriff", "Aufrufe"), {}),
        ("query,count\nblack shoes,1000\nblack shoes,204.0\nt shirt,60\ngone,--\n", None, {"rows without a count": 1}),
    ],
)
def test_reports_of_search_terms(tmp_path, text, columns, passed):
    (tmp_path / "terms.csv").write_text(text, "utf-8")
    terms = SearchTerms.read(tmp_path / "terms.csv")
    assert terms.counted == TERMS
    if columns is not None:
        assert (terms.term_column, terms.count_column) == columns
    if passed is not None:
        assert terms.passed_over == passed
    assert str(terms).startswith(f"2 search terms of the column {terms.term_column}, asked 1,264 times")


def test_a_list_of_terms_counts_each_once(tmp_path):
    (tmp_path / "terms.csv").write_text("what they typed\nred, white dress\ntotal recall shirt\nred, white dress\n")
    terms = SearchTerms.read(tmp_path / "terms.csv")
    assert terms.counted == [("red, white dress", 2), ("total recall shirt", 1)]


@pytest.mark.parametrize(
    ("text", "column", "count_column"),
    [
        (
            "Report: Terms\nTime: 1/1/26\n\nSearch term,Keyword,Impr.,Spend\n{},red,{},1.2\n\n©2026\n",
            "Search term",
            "Impr.",
        ),
        ("Label,Searches,Search Results Pages\n{},{},3\n", "Label", "Searches"),
        ("Query,Total,Hits\n{},{},3\n", "Query", "Total"),
        ("ID,Search Query,Store,Results,Uses\n1,{},x,3,{}\n", "Search Query", "Uses"),
        ("Häufigste Suchanfragen,Klicks,Impressionen,CTR\n{},7,{},0.5%\n", "Häufigste Suchanfragen", "Impressionen"),
        ("Поисковый запрос,Показы\n{},{}\n", "Поисковый запрос", "Показы"),
        (
            "Suchbegriff,Ereignisanzahl,Nutzer gesamt\n{},{},8\n(nicht festgelegt),9,9\n",
            "Suchbegriff",
            "Ereignisanzahl",
        ),
        (
            "Término de búsqueda;Recuento de eventos\n{};{}\nTotal general;9\n",
            "Término de búsqueda",
            "Recuento de eventos",
        ),
        ("Query principali,Clic,Impressioni,CTR\n{},7,{},0.5%\n", "Query principali", "Impressioni"),
        ("搜索字词,事件数\n{},{}\n（未设置）,8\n", "搜索字词", "事件数"),
        ("Phrase,Times typed\n{},{}\n", "Phrase", "Times typed"),
        ("query,count\n{},1.2K\n", "query", "count"),
    ],
)
def test_reports_of_other_shops(tmp_path, text, column, count_column):
    (tmp_path / "terms.csv").write_text(text.format("black shoes", 1200), "utf-8")
    terms = SearchTerms.read(tmp_path / "terms.csv")
    assert (terms.counted, terms.term_column, terms.count_column) == ([("black shoes", 1200)], column, count_column)


def test_numbers_that_may_be_counts_are_said(tmp_path):
    (tmp_path / "terms.csv").write_text("query,week 1,typed,asked\nred,1,3,4\n")
    terms = SearchTerms.read(tmp_path / "terms.csv")
    assert terms.counted == [("red", 1)]
    assert "if typed or asked says how often, call that column count" in str(terms)
    (tmp_path / "terms.csv").write_text("rank,query\n1,red\n2,blue\n")
    assert SearchTerms.read(tmp_path / "terms.csv").counted == [("blue", 1), ("red", 1)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("query,count\nred,many\n", "has the count 'many'; a whole number was wanted"),
        ("text,note\nred,x\n", "no column of search terms; its columns are: text, note; call it query"),
        ("query,count\n(not set),3\n", "holds no search terms; one a row was wanted, in the column query"),
    ],
)
def test_tables_that_are_none_say_why(tmp_path, text, said):
    (tmp_path / "terms.csv").write_text(text)
    with pytest.raises(CatalogError, match=said):
        SearchTerms.read(tmp_path / "terms.csv")
