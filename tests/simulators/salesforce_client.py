"""Plain requests against the simulated Salesforce, for the tests of the simulator."""

from __future__ import annotations

from typing import Any

import requests

from simulators.salesforce import SalesforceSimulator

V = "/services/data/v67.0"


class Client:
    """Plain requests with a token."""

    def __init__(self, salesforce: SalesforceSimulator) -> None:
        self.salesforce = salesforce
        self.session = requests.Session()
        self.session.trust_env = False
        self.token = salesforce.issue()

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        url = self.salesforce.base_url + path
        return self.session.request(method, url, headers=headers, **options)

    def query(self, text: str, resource: str = "query", **headers: str) -> requests.Response:
        options: dict[str, Any] = {"params": {"q": text}, "headers": headers}
        return self.send("GET", f"{V}/{resource}", **options)

    def rows(self, text: str, resource: str = "query") -> list[dict[str, Any]]:
        answer = self.query(text, resource)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["records"])

    def refusal(self, text: str) -> tuple[int, str, str]:
        answer = self.query(text)
        [error] = answer.json()
        return answer.status_code, error["errorCode"], error["message"]

    def job(self, text: str, operation: str = "query", **more: Any) -> requests.Response:
        body = {"operation": operation, "query": text, **more}
        return self.send("POST", f"{V}/jobs/query", json=body)

    def finished_job(self, text: str, operation: str = "query", **more: Any) -> str:
        job = f"{V}/jobs/query/{self.job(text, operation, **more).json()['id']}"
        while self.send("GET", job).json()["state"] in ("UploadComplete", "InProgress"):
            pass
        return job


def some_accounts(salesforce: SalesforceSimulator, count: int) -> list[str]:
    return [salesforce.org.create("Account", Name=f"Acme {n}") for n in range(count)]
