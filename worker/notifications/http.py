"""The HTTP client for webhooks. Only this module and `lms/http.py`, the client for LMSs, use the network.

It uses neither the rate limiter nor the ledger: the response only decides whether to try again.
"""

from __future__ import annotations

import asyncio

import httpx

from worker.notifications.delivery import TIMEOUTS, DeliveryError, Timeouts


def post(url: str, body: bytes, headers: dict[str, str], timeouts: Timeouts = TIMEOUTS) -> int:
    """Post a body and return the status of the response, which is not read further. Raises DeliveryError.

    Redirects are not followed: they could send what is signed for one receiver to another.
    """
    try:
        return asyncio.run(_post(url, body, headers, timeouts))
    except httpx.ConnectError as error:
        secure = "certificate" in str(error).casefold()
        raise DeliveryError(
            "the receiver's certificate is not valid for its address"
            if secure
            else "the receiver cannot be reached"
        ) from None
    except (TimeoutError, httpx.TimeoutException):
        raise DeliveryError("the receiver did not respond in time") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        raise DeliveryError(f"the connection to the receiver failed ({type(error).__name__})") from None


async def _post(url: str, body: bytes, headers: dict[str, str], timeouts: Timeouts) -> int:
    secure = url.startswith("https://")
    async with (
        asyncio.timeout(timeouts.total),
        # As for the LMS, proxies and .netrc of the machine are not used.
        httpx.AsyncClient(
            verify=httpx.create_ssl_context() if secure else False,
            timeout=timeouts.step,
            follow_redirects=False,
            trust_env=False,
        ) as client,
        client.stream("POST", url, content=body, headers=headers) as response,
    ):
        return response.status_code
