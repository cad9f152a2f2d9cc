"""Send a message as an e-mail."""

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
from worker.notifications.delivery import TIMEOUTS, DeliveryError, Timeouts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.notifications.content import Notification
    from worker.settings import Email, Mail

#: The maximum length of a line of an e-mail (RFC 5322).
MAX_LINE = 998


def send(mail: Mail, receiver: Email, notification: Notification, timeouts: Timeouts = TIMEOUTS) -> None:
    """Send a message; raises DeliveryError when the mail server accepts it for no receiver.

    A message that is accepted for some counts as sent: another attempt would reach those twice.
    """
    with _as_delivery_errors(), _connect(mail, timeouts) as server:
        server.send_message(message_of(mail, receiver, notification))


def check_login(mail: Mail) -> None:
    """Sign in to the mail server and send nothing; raises DeliveryError."""
    with _as_delivery_errors(), _connect(mail, TIMEOUTS) as server:
        server.noop()


def message_of(mail: Mail, receiver: Email, notification: Notification) -> EmailMessage:
    """Return the e-mail: plain text, with the same Message-ID when it is sent again."""
    message = EmailMessage(policy=SMTP)
    # The library decodes encoded words in the given text, and encoded line ends in them would become line ends.
    message["Subject"] = subject = templates.subject(notification).replace("=?", "= ?")
    message["From"] = mail.sender
    message["To"] = ", ".join(receiver.to)
    message["Date"] = format_datetime(notification.at)
    message["Message-ID"] = f"<roster.{notification.delivery}@{parseaddr(mail.sender)[1].partition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message["Roster-Event"] = notification.event
    message.set_content(templates.text(notification), cte="quoted-printable")
    if subject.isascii():
        # Otherwise a long subject starts on a new line, which some clients show as an empty subject.
        message.policy = SMTP.clone(max_line_length=MAX_LINE)
    return message


@contextmanager
def _connect(mail: Mail, timeouts: Timeouts) -> Iterator[smtplib.SMTP]:
    """Yield a connection to the mail server, signed in; it is closed when everything together takes too long."""
    context, (host, port) = ssl.create_default_context(), mail.address
    server = (
        smtplib.SMTP_SSL(host, port, timeout=timeouts.step, context=context)
        if mail.security == "tls"
        else smtplib.SMTP(host, port, timeout=timeouts.step)
    )
    timer = threading.Timer(timeouts.total, _disconnect, (server,))
    timer.daemon = True
    timer.start()
    try:
        if mail.security == "starttls":
            server.starttls(context=context)
        if mail.user and mail.password is not None:
            server.login(mail.user, mail.password.get_secret_value())
        yield server
        with suppress(smtplib.SMTPException, OSError):
            server.quit()
    finally:
        timer.cancel()
        server.close()


def _disconnect(server: smtplib.SMTP) -> None:
    with suppress(OSError, AttributeError):
        server.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]


@contextmanager
def _as_delivery_errors() -> Iterator[None]:
    """Turn every error into a DeliveryError with our own text: a server's may contain addresses."""
    try:
        yield
    except smtplib.SMTPAuthenticationError as error:
        raise DeliveryError(f"the mail server rejected user and password ({error.smtp_code})") from None
    except smtplib.SMTPRecipientsRefused as error:
        code = next((code for code, _ in error.recipients.values()), "")
        raise DeliveryError(f"the mail server rejected every address ({code})") from None
    except smtplib.SMTPSenderRefused as error:
        raise DeliveryError(f"the mail server rejected the sender, `from` ({error.smtp_code})") from None
    except smtplib.SMTPNotSupportedError:
        raise DeliveryError("the mail server supports no STARTTLS or no sign-in; see `security`") from None
    except smtplib.SMTPResponseException as error:
        raise DeliveryError(f"the mail server rejected the message ({error.smtp_code})") from None
    except ssl.SSLCertVerificationError:
        raise DeliveryError("the mail server's certificate is not valid for its name") from None
    except (TimeoutError, smtplib.SMTPServerDisconnected):
        raise DeliveryError("the mail server did not respond in time, or closed the connection") from None
    except (smtplib.SMTPException, OSError, UnicodeError) as error:
        raise DeliveryError(f"the mail server cannot be reached ({type(error).__name__})") from None
