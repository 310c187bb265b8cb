"""What networks make of corrected sounds that others judged; the judgement itself stays as it is."""

from __future__ import annotations

from collections.abc import Collection

from drumwatchd.index.store import Index


class Hearings:
    """Embeddings beside those of the analyses; every public method is one transaction."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def add(self, digest: str, network: str, embedding: bytes | None) -> None:
        """Keep what a network made of a content; None where it can't be heard."""
        with self._index.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO hearings VALUES (?, ?, ?)", (digest, network, embedding)
            )

    def keep_only(self, networks: Collection[str]) -> None:
        """Forget what other networks made of anything, and all of what isn't corrected any more."""
        marks = ", ".join("?" * len(networks))
        with self._index.transaction() as connection:
            connection.execute(
                f"""DELETE FROM hearings WHERE network NOT IN ({marks})
                    OR digest NOT IN (SELECT digest FROM corrections)""",  # noqa: S608 - marks only
                tuple(networks),
            )

    def count(self, network: str) -> int:
        """How many contents a network heard."""
        query = "SELECT count(embedding) FROM hearings WHERE network = ?"
        with self._index.reading() as connection:
            return int(connection.execute(query, (network,)).fetchone()[0])
