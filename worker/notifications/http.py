"""The door through which webhooks leave. Besides `lms/http.py`, which speaks to LMSs, the only one to the network.

It knows no pace and no ledger: a webhook is no LMS, and its answer decides nothing but whether to try again.
"""

from __future__ import annotations

import asyncio

import httpx

from worker.notifications.delivery import PATIENCE, Patience, Undelivered


def post(url: str, body: bytes, headers: dict[str, str], patience: Patience = PATIENCE) -> int:
    """Post a body and return the status of the answer, of which nothing else is read. Raises Undelivered.

    Redirects are not followed: they could lead what is signed for one receiver to another.
    """
    try:
        return asyncio.run(_post(url, body, headers, patience))
    except httpx.ConnectError as error:
        secure = "certificate" in str(error).casefold()
        raise Undelivered(
            "the receiver's certificate is not valid for its address"
            if secure
            else "the receiver cannot be reached"
        ) from None
    except (TimeoutError, httpx.TimeoutException):
        raise Undelivered("the receiver did not answer in time") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        raise Undelivered(f"the line to the receiver broke ({type(error).__name__})") from None


async def _post(url: str, body: bytes, headers: dict[str, str], patience: Patience) -> int:
    secure = url.startswith("https://")
    async with (
        asyncio.timeout(patience.longest),
        # Proxies and .netrc of the machine are not used, as for the LMS.
        httpx.AsyncClient(
            verify=httpx.create_ssl_context() if secure else False,
            timeout=patience.step,
            follow_redirects=False,
            trust_env=False,
        ) as client,
        client.stream("POST", url, content=body, headers=headers) as response,
    ):
        return response.status_code
