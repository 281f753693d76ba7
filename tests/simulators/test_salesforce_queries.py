"""The simulated Salesforce: SOQL, pages, describe, deletes and merges."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from simulators.salesforce import SalesforceSimulator, long_id
from simulators.salesforce.moods import too_wide
from simulators.salesforce_client import Client, V, some_accounts


def test_conditions_work_as_in_soql(salesforce: SalesforceSimulator, client: Client) -> None:
    org = salesforce.org
    owner = org.create("User", Name="Ann", IsActive=True)
    for name, size, country in (("Acme", 5, "DE"), ("Brick's", 50, None), ("acme two", 500, "US")):
        org.create("Account", Name=name, NumberOfEmployees=size, BillingCountry=country,
                   OwnerId=owner)  # fmt: skip

    def names(where: str) -> list[str]:
        return [r["Name"] for r in client.rows(f"SELECT Name FROM Account WHERE {where} "
                                               "ORDER BY NumberOfEmployees")]  # fmt: skip

    assert names("Name = 'ACME'") == ["Acme"]
    assert names("Name LIKE 'acme%'") == ["Acme", "acme two"]
    assert names(r"Name = 'Brick\'s'") == ["Brick's"]
    assert names("NumberOfEmployees >= 50 AND BillingCountry != 'US'") == ["Brick's"]
    assert names("BillingCountry IN ('DE', 'FR') OR NumberOfEmployees > 100") == [
        "Acme",
        "acme two",
    ]
    assert names("NOT (BillingCountry = null)") == ["Acme", "acme two"]
    assert names("BillingCountry NOT IN ('DE')") == ["Brick's", "acme two"]
    assert names(f"Owner.Name = 'Ann' AND OwnerId = '{owner[:15]}' AND NumberOfEmployees < 6") == [
        "Acme"
    ]
    assert names("OwnerId IN (SELECT Id FROM User WHERE Name = 'Ann')") == [
        "Acme",
        "Brick's",
        "acme two",
    ]


def test_instants_are_unquoted_and_may_carry_an_offset(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    org = salesforce.org
    stamp = datetime(2026, 1, 5, 8, tzinfo=UTC)
    org.create("Account", Name="Acme", stamp=stamp)
    query = "SELECT SystemModstamp FROM Account WHERE SystemModstamp {}"
    assert client.rows(query.format(">= 2026-01-05T08:00:00Z"))[0]["SystemModstamp"] == (
        "2026-01-05T08:00:00.000+0000"
    )
    assert client.rows(query.format("< 2026-01-05T09:00:00.000+02:00")) == []
    status, code, message = client.refusal(query.format("> '2026-01-05T08:00:00Z'"))
    assert (status, code) == (400, "INVALID_FIELD")
    assert message.endswith("must be of type dateTime and should not be enclosed in quotes")
    bare = f"{V}/query?q=" + query.format("> 2026-01-05T08:00:00+02:00").replace(" ", "+")
    assert client.send("GET", bare).json()[0]["errorCode"] == "MALFORMED_QUERY"


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("SELECT Foo__c FROM Account", "INVALID_FIELD", "No such column 'Foo__c' on entity 'Acc"),
        ("SELECT Id FROM Nope", "INVALID_TYPE", "sObject type 'Nope' is not supported"),
        ("SELECT Boss.Name FROM Account", "INVALID_FIELD", "Didn't understand relationship 'Boss'"),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM Account WHERE Name = 'x", "MALFORMED_QUERY", "no viable alternative"),
        ("SELECT Id FROM Account WHERE Name = 1", "INVALID_FIELD", "should be enclosed in quotes"),
        ("SELECT Id FROM Account WHERE OwnerId = 'x'", "INVALID_QUERY_FILTER_OPERATOR", "ID"),
        ("SELECT Id FROM Account WHERE Description = 'x'", "INVALID_FIELD", "can not be filtered"),
        ("SELECT Id FROM Account WHERE Name = 'a' AND Name = 'b' OR Name = 'c'",
         "MALFORMED_QUERY", "unexpected token: 'OR'"),
        ("SELECT Name, COUNT(Id) FROM Account", "MALFORMED_QUERY", "grouped or aggregated: Name"),
        ("SELECT FIELDS(ALL) FROM Account", "MALFORMED_QUERY", "LIMIT of at most 200"),
        ("SELECT Id FROM Account LIMIT 5 OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "2000"),
        ("SELECT Id, id FROM Account", "INVALID_FIELD", "duplicate field selected"),
    ],
)  # fmt: skip
def test_wrong_queries_are_refused_in_salesforces_words(
    client: Client, query: str, code: str, words: str
) -> None:
    status, found, message = client.refusal(query)
    assert (status, found) == (400, code)
    assert words in message


def test_the_picture_points_to_the_wrong_column(client: Client) -> None:
    _, _, message = client.refusal("SELECT Id,Foo__c FROM Account")
    assert message.startswith(
        "\nSELECT Id,Foo__c FROM Account\n          ^\nERROR at Row:1:Column:11\nNo such column"
    )


def test_counts_and_groups(salesforce: SalesforceSimulator, client: Client) -> None:
    for country, size in (("DE", 1), ("DE", 3), ("US", 5)):
        salesforce.org.create("Account", BillingCountry=country, NumberOfEmployees=size)
    counted = client.query("SELECT COUNT() FROM Account WHERE BillingCountry = 'DE'").json()
    assert counted == {"totalSize": 2, "done": True, "records": []}
    rows = client.rows(
        "SELECT BillingCountry, COUNT(Id) n, MAX(NumberOfEmployees) FROM Account "
        "GROUP BY BillingCountry"
    )
    assert sorted((r["BillingCountry"], r["n"], r["expr0"]) for r in rows) == [
        ("DE", 2, 3),
        ("US", 1, 5),
    ]


def test_parents_are_nested_with_their_attributes(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    org = salesforce.org
    ann = org.create("User", Name="Ann")
    queue = org.create("Group", Name="Inbound", Type="Queue")
    account = org.create("Account", Name="Acme", OwnerId=ann)
    org.create("Opportunity", Name="A", AccountId=account)
    for owner in (ann, queue):
        org.create("Lead", OwnerId=owner)
    [deal] = client.rows("SELECT Account.Owner.Name, Account.Name, Owner.Name FROM Opportunity")
    assert deal["Account"]["attributes"] == {
        "type": "Account",
        "url": f"{V}/sobjects/Account/{account}",
    }
    assert deal["Account"]["Owner"]["Name"] == "Ann"
    assert deal["Owner"] is None
    leads = client.rows("SELECT Owner.Name, Owner.Type FROM Lead ORDER BY Owner.Name")
    assert [(r["Owner"]["Name"], r["Owner"]["Type"]) for r in leads] == [
        ("Ann", "User"),
        ("Inbound", "Queue"),
    ]
    assert client.refusal("SELECT Owner.Department FROM Lead")[1] == "INVALID_FIELD"
    org.recalculate(ann, UserRoleId=org.create("UserRole", Name="EMEA"))
    [role] = client.rows("SELECT Owner.UserRole.Name FROM Lead WHERE Owner.Type = 'User'")
    assert role["Owner"]["UserRole"]["Name"] == "EMEA"
    assert client.refusal("SELECT Id FROM Name")[1] == "INVALID_TYPE"


@pytest.mark.parametrize(
    ("name", "owners"),
    [
        ("Lead", ["Group", "User"]), ("Case", ["Group", "User"]), ("Task", ["Group", "User"]),
        ("Event", ["Calendar", "Group", "User"]), ("VoiceCall", ["Group", "User"]),
        ("Opportunity", ["User"]),
    ],
)  # fmt: skip
def test_owners_are_people_and_queues(client: Client, name: str, owners: list[str]) -> None:
    fields = client.send("GET", f"{V}/sobjects/{name}/describe").json()["fields"]
    [owner] = [field for field in fields if field["name"] == "OwnerId"]
    assert owner["referenceTo"] == owners
    assert owner["polymorphicForeignKey"] == (len(owners) > 1)


def test_pages_are_asked_for_by_locator_and_shorter_than_the_batch(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    ids = some_accounts(salesforce, 40)
    salesforce.rest.batch_cap, salesforce.rest.varies_pages = 10, True
    answer = client.query("SELECT Id FROM Account ORDER BY Id").json()
    found, sizes = [], []
    while True:
        found += [r["Id"] for r in answer["records"]]
        sizes.append(len(answer["records"]))
        if "nextRecordsUrl" not in answer:
            break
        answer = client.send("GET", answer["nextRecordsUrl"], params={"q": "ignored"}).json()
    assert found == ids
    assert max(sizes) <= 10
    assert len(set(sizes)) > 1


def test_a_batch_size_is_a_hint_between_200_and_2000(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    some_accounts(salesforce, 450)

    def page(text: str, size: int) -> int:
        options = {"Sforce-Query-Options": f"batchSize={size}"}
        return len(client.query(text, **options).json()["records"])

    assert page("SELECT Id FROM Account", 5) == 200
    assert page("SELECT Id FROM Account", 400) == 400
    salesforce.org.add_fields("Account", "A__c:longtextarea B__c:longtextarea")
    assert page("SELECT Id, A__c, B__c FROM Account", 2000) == 200


def test_a_locator_belongs_to_its_session_and_expires(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    some_accounts(salesforce, 5)
    salesforce.rest.batch_cap = 2
    following = client.query("SELECT Id FROM Account").json()["nextRecordsUrl"]
    first, client.token = client.token, salesforce.issue()
    assert client.send("GET", following).json()[0]["errorCode"] == "INVALID_SESSION_ID"
    client.token = first
    assert client.send("GET", following).status_code == 200
    salesforce.rest.expire_locators()
    assert client.send("GET", following).json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"


def test_later_pages_show_records_as_they_are_by_then(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    ids = some_accounts(salesforce, 4)
    salesforce.rest.batch_cap = 2
    answer = client.query("SELECT Id, Name FROM Account ORDER BY Id").json()
    salesforce.org.update(ids[2], Name="renamed")
    salesforce.org.purge(ids[3])
    rest = client.send("GET", answer["nextRecordsUrl"]).json()
    assert [r["Name"] for r in rest["records"]] == ["renamed"]
    assert rest["totalSize"] == 4


def test_a_long_address_is_answered_by_the_edge_in_html(client: Client) -> None:
    fields = ", ".join(f"VeryLongCustomFieldName{n:05d}__c" for n in range(500))
    answer = client.query(f"SELECT {fields} FROM Account")
    assert answer.status_code == 431
    assert answer.headers["Content-Type"].startswith("text/html")


def test_a_query_over_too_much_time_is_refused_when_told_so(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    salesforce.rest.checks.append(too_wide(timedelta(days=2)))
    narrow = (
        "WHERE SystemModstamp >= 2026-01-05T00:00:00Z AND SystemModstamp < 2026-01-06T00:00:00Z"
    )
    assert client.query(f"SELECT Id FROM Account {narrow}").status_code == 200
    wide = narrow.replace("01-06", "01-08")
    assert client.refusal(f"SELECT Id FROM Account {wide}")[1] == "QUERY_TIMEOUT"
    assert client.refusal("SELECT Id FROM Account")[1] == "QUERY_TIMEOUT"
    assert client.query("SELECT COUNT() FROM Account").status_code == 200


def test_hidden_fields_and_objects_are_not_there(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    salesforce.org.hide("Opportunity", "Amount")
    salesforce.org.hide("Campaign")
    names = [f["name"] for f in client.send("GET", f"{V}/sobjects/Opportunity/describe").json()[
        "fields"]]  # fmt: skip
    assert "Amount" not in names
    assert "StageName" in names
    assert client.refusal("SELECT Amount FROM Opportunity")[1] == "INVALID_FIELD"
    assert client.refusal("SELECT Id FROM Opportunity WHERE Amount > 1")[1] == "INVALID_FIELD"
    assert client.refusal("SELECT Id FROM Campaign")[1] == "INVALID_TYPE"
    assert client.refusal("SELECT Campaign.Name FROM Opportunity")[1] == "INVALID_FIELD"
    assert client.send("GET", f"{V}/sobjects/Campaign/describe").status_code == 404
    listed = client.send("GET", f"{V}/sobjects").json()["sobjects"]
    assert "Campaign" not in {o["name"] for o in listed}


def test_describes_come_in_batches_that_count_each(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    wanted = ["Account", "Nope", "Case"]
    body = {
        "batchRequests": [
            {"method": "GET", "url": f"v67.0/sobjects/{name}/describe"} for name in wanted
        ]
    }
    answer = client.send("POST", f"{V}/composite/batch", json=body).json()
    assert answer["hasErrors"] is True
    assert [r["statusCode"] for r in answer["results"]] == [200, 404, 200]
    assert answer["results"][0]["result"]["name"] == "Account"
    assert salesforce.used == 4
    too_many = {"batchRequests": body["batchRequests"] * 9}
    assert client.send("POST", f"{V}/composite/batch", json=too_many).status_code == 400


def test_the_bin_is_shown_by_query_all_and_the_purged_by_the_log_only(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    org, now = salesforce.org, salesforce.clock()
    kept, binned, purged = some_accounts(salesforce, 3)
    salesforce.clock.advance(3600)
    org.delete(binned)
    org.purge(purged)
    assert [r["Id"] for r in client.rows("SELECT Id FROM Account")] == [kept]
    rows = client.rows("SELECT Id, IsDeleted, SystemModstamp FROM Account ORDER BY Id", "queryAll")
    assert [(r["Id"], r["IsDeleted"]) for r in rows] == [(kept, False), (binned, True)]
    assert rows[1]["SystemModstamp"] == "2026-01-12T09:00:00.000+0000"
    salesforce.clock.advance(600)
    window = {"start": now.isoformat(), "end": salesforce.clock().isoformat()}
    log = client.send("GET", f"{V}/sobjects/Account/deleted/", params=window).json()
    assert {r["id"] for r in log["deletedRecords"]} == {binned, purged}
    assert log["latestDateCovered"] == "2026-01-12T09:10:00.000+0000"


def test_the_log_of_deletions_goes_back_15_days(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    now = salesforce.clock()
    path = f"{V}/sobjects/Account/deleted/"
    window = {"start": (now - timedelta(days=16)).isoformat(), "end": now.isoformat()}
    assert client.send("GET", path, params=window).json()[0]["errorCode"] == (
        "INVALID_REPLICATION_DATE"
    )
    bare = f"{path}?start=2026-01-05T08:00:00+00:00&end=2026-01-12T08:00:00%2B00:00"
    assert client.send("GET", bare).status_code == 400
    login = f"{V}/sobjects/LoginHistory/deleted/"
    window = {"start": (now - timedelta(days=1)).isoformat(), "end": now.isoformat()}
    assert client.send("GET", login, params=window).status_code == 400


def test_a_merge_leaves_the_loser_with_its_survivor(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    org = salesforce.org
    survivor, loser = some_accounts(salesforce, 2)
    deal = org.create("Opportunity", AccountId=loser)
    org.merge(survivor, loser)
    [row] = client.rows("SELECT Id, MasterRecordId FROM Account WHERE IsDeleted = true", "queryAll")
    assert (row["Id"], row["MasterRecordId"]) == (loser, survivor)
    assert client.rows("SELECT AccountId FROM Opportunity")[0]["AccountId"] == survivor
    assert org.find(deal) is not None


def test_children_go_with_their_parent(salesforce: SalesforceSimulator, client: Client) -> None:
    org = salesforce.org
    deal = org.create("Opportunity", CloseDate=date(2026, 1, 31))
    org.create("OpportunityLineItem", OpportunityId=deal, Quantity=2)
    org.delete(deal)
    assert client.rows("SELECT Id FROM OpportunityLineItem") == []
    [item] = client.rows("SELECT IsDeleted, Quantity FROM OpportunityLineItem", "queryAll")
    assert (item["IsDeleted"], item["Quantity"]) == (True, 2)
    org.empty_bin()
    assert client.rows("SELECT Id FROM OpportunityLineItem", "queryAll") == []


def test_a_formula_changes_without_a_stamp(salesforce: SalesforceSimulator, client: Client) -> None:
    org = salesforce.org
    org.add_fields("Account", "Score__c:double=")
    account = org.create("Account", Score__c=1)
    salesforce.clock.advance(60)
    org.recalculate(account, Score__c=2)
    [row] = client.rows("SELECT Score__c, SystemModstamp FROM Account")
    assert (row["Score__c"], row["SystemModstamp"]) == (2, "2026-01-12T08:00:00.000+0000")


def test_ids_have_check_characters() -> None:
    # Ids that Salesforce's own documentation shows in full.
    for known in ("001A0000006Vm9uIAC", "01gRO0000016PIAYA2"):
        assert long_id(known[:15]) == known
