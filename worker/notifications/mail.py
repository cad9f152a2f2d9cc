"""A message as an e-mail, and the way to the mail server."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import TYPE_CHECKING

from worker.notifications import templates
from worker.notifications.delivery import PATIENCE, Patience, Undelivered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.notifications.content import News
    from worker.settings import Email, Mail

#: What a line of a mail may have (RFC 5322).
LONGEST_LINE = 998


def send(mail: Mail, receiver: Email, news: News, patience: Patience = PATIENCE) -> None:
    """Hand a message to the mail server; raises Undelivered when it takes it for nobody.

    Taken for some only, it counts as sent: sent again, it would reach those twice.
    """
    with _translated(), _signed_in(mail, patience) as server:
        server.send_message(message_of(mail, receiver, news))


def check_login(mail: Mail) -> None:
    """Sign in to the mail server and send nothing; raises Undelivered."""
    with _translated(), _signed_in(mail, PATIENCE) as server:
        server.noop()


def message_of(mail: Mail, receiver: Email, news: News) -> EmailMessage:
    """Return the mail: plain text, the same Message-ID whenever it is sent again."""
    message = EmailMessage(policy=SMTP)
    # The library reads encoded words in what it is given, and line ends that are encoded in them become line ends.
    message["Subject"] = subject = templates.subject(news).replace("=?", "= ?")
    message["From"] = mail.sender
    message["To"] = ", ".join(receiver.to)
    message["Date"] = format_datetime(news.at)
    message["Message-ID"] = f"<roster.{news.delivery}@{parseaddr(mail.sender)[1].partition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message["Roster-Event"] = news.event
    message.set_content(templates.text(news), cte="quoted-printable")
    if subject.isascii():
        # Else it begins a new line before a long subject, which some take for an empty one.
        message.policy = SMTP.clone(max_line_length=LONGEST_LINE)
    return message


@contextmanager
def _signed_in(mail: Mail, patience: Patience) -> Iterator[smtplib.SMTP]:
    """Yield a line to the mail server that is cut when all of it takes too long."""
    context, (host, port) = ssl.create_default_context(), mail.address
    server = (
        smtplib.SMTP_SSL(host, port, timeout=patience.step, context=context)
        if mail.security == "tls"
        else smtplib.SMTP(host, port, timeout=patience.step)
    )
    enough = threading.Timer(patience.longest, _cut, (server,))
    enough.daemon = True
    enough.start()
    try:
        if mail.security == "starttls":
            server.starttls(context=context)
        if mail.user and mail.password is not None:
            server.login(mail.user, mail.password.get_secret_value())
        yield server
        with suppress(smtplib.SMTPException, OSError):
            server.quit()
    finally:
        enough.cancel()
        server.close()


def _cut(server: smtplib.SMTP) -> None:
    with suppress(OSError, AttributeError):
        server.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]


@contextmanager
def _translated() -> Iterator[None]:
    """Turn whatever goes wrong into our own words: a server's may hold addresses."""
    try:
        yield
    except smtplib.SMTPAuthenticationError as error:
        raise Undelivered(f"the mail server refused user and password ({error.smtp_code})") from None
    except smtplib.SMTPRecipientsRefused as error:
        code = next((code for code, _ in error.recipients.values()), "")
        raise Undelivered(f"the mail server refused every address ({code})") from None
    except smtplib.SMTPSenderRefused as error:
        raise Undelivered(f"the mail server refused the sender, `from` ({error.smtp_code})") from None
    except smtplib.SMTPNotSupportedError:
        raise Undelivered("the mail server offers no STARTTLS, or no way to sign in; see `security`") from None
    except smtplib.SMTPResponseException as error:
        raise Undelivered(f"the mail server refused the message ({error.smtp_code})") from None
    except ssl.SSLCertVerificationError:
        raise Undelivered("the mail server's certificate is not valid for its name") from None
    except (TimeoutError, smtplib.SMTPServerDisconnected):
        raise Undelivered("the mail server did not answer in time, or hung up") from None
    except (smtplib.SMTPException, OSError, UnicodeError) as error:
        raise Undelivered(f"the mail server cannot be reached ({type(error).__name__})") from None
