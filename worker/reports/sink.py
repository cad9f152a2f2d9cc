"""The file under a workbook's zip archive. Knows nothing of workbooks."""

from __future__ import annotations

from pathlib import Path


class Sink:
    """A file that fails once, and from then on takes everything and keeps nothing.

    An archive that could not be written tries to write its end when it is thrown away; on a full disk or a closed
    file that would put a second traceback on the user's terminal, after the plain sentence.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._lost = False

    def write(self, data: bytes) -> int:
        """Write as a file does."""
        if self._lost:
            return len(data)
        try:
            return self._file.write(data)
        except OSError:
            self._lost = True
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek as a file does."""
        return 0 if self._lost else self._file.seek(offset, whence)

    def tell(self) -> int:
        """Tell as a file does."""
        return 0 if self._lost else self._file.tell()

    def flush(self) -> None:
        """Flush as a file does."""
        if not self._lost:
            self._file.flush()

    def close(self) -> None:
        """Close the file; what comes later is lost."""
        self._lost = True
        self._file.close()
