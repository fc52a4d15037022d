"""Lists of cards: search, filters, order, pages, and how many there are of what."""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from .find import spellings
from .library import Library
from .names import normalise_path
from .schema import AWAY, MISSING, PRESENT, Store
from .text import fold, storable

ORDERS: dict[str, str] = {
    "name": "sort_name, id",
    "path": "sort_path, id",
    "added": "added_ns, sort_name, id",
    "modified": "mtime_ns, sort_name, id",
    "size": "size, sort_name, id",
    "most_used": "uses, sort_name, id",
    "recently_used": "used_ns, sort_name, id",
}
MAX_PAGE = 500
KEPT_RESULTS = 32
_HASH = re.compile(r"[0-9a-f]{6,64}")
_STATES = {PRESENT: "present", AWAY: "away", MISSING: "missing"}
T = TypeVar("T")
UNREAD: dict[str, Any] = {
    "architecture": None, "family": "", "ranks": None, "aliases": [], "civitai_base_model": "", "title": "",
    "adult": False, "preview": "", "preview_kind": "", "preview_version": "", "problems": [], "fields": {},
}  # fmt: skip
"""What a card shows until its file was read."""


@dataclass(frozen=True, slots=True)
class Query:
    """What a list shall show. Every filter narrows; within a filter of several values any is enough, tags excepted."""

    text: str = ""
    """Words that must all be in the name, path, alias, tags, activation text or description, or begin a hash."""
    folder: str | None = None
    """Below the LoRA folders, with `/`; sub-folders are in."""
    architectures: tuple[str, ...] = ()
    """Base models; an empty text stands for the unknown ones."""
    families: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    """All of them."""
    favourite: bool = False
    used: bool = False
    """Used at least once."""
    no_preview: bool = False
    missing: bool = False
    """Removed files and those whose drive is away; without it, removed files are left out."""
    problem: bool = False
    adult: bool | None = None
    ids: tuple[int, ...] | None = None
    """Only these, such as those of a graph."""
    order: str = "name"
    descending: bool = False


class Search:
    """Answers queries; remembers results until the index changes, so that pages and counts cost nothing."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._store: Store = library.store
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._revision = -1
        self._lock = threading.Lock()

    def ids(self, query: Query) -> list[int]:
        """The ids of all hits in order."""
        ordered = self._remember(("order", query.order, query.descending), lambda: self._ordered(query))
        everything = Query(order=query.order, descending=query.descending)
        if query == everything:
            return ordered
        return self._remember(query, lambda: self._filtered(query, ordered))

    def page(self, query: Query, offset: int, limit: int) -> list[dict[str, Any]]:
        """The cards at `offset` and after, up to `limit` (500 at most)."""
        return self.cards(self.ids(query)[max(offset, 0) : max(offset, 0) + min(limit, MAX_PAGE)])

    def cards(self, ids: list[int]) -> list[dict[str, Any]]:
        """Cards by id, in this order; unknown ids are left out."""
        rows = self._store.connection().execute(
            "SELECT f.id, f.root, f.name, f.folder, f.size, f.mtime_ns, f.added_ns, f.state, f.pending, f.sha256,"
            " f.autov3, f.favourite, f.uses, f.used_ns, c.card FROM json_each(?) AS wanted"
            " JOIN files f ON f.id = wanted.value LEFT JOIN cards c ON c.file = f.id",
            (json.dumps(ids),),
        )
        found = {row[0]: row for row in rows}
        spelled = spellings(self._library, [row[2] for row in found.values()])
        return [self._card(found[i], spelled) for i in ids if i in found]

    def counts(self, query: Query, most_tags: int = 200) -> dict[str, Any]:
        """How many hits each value of each filter would give, that filter's own choice left aside."""
        return self._remember(("counts", query, most_tags), lambda: self._counted(query, most_tags))

    def _counted(self, query: Query, most_tags: int) -> dict[str, Any]:
        connection = self._store.connection()

        def group(sql: str, without: str) -> dict[str, int]:
            blank = {f.name: f.default for f in fields(Query)}[without]
            ids = json.dumps(self.ids(replace(query, **{without: blank})))  # type: ignore[arg-type]
            return {str(value): count for value, count in connection.execute(sql, (ids,))}

        def column(name: str) -> str:
            return (f"SELECT {name}, count(*) FROM files WHERE id IN (SELECT value FROM json_each(?))"
                    f" GROUP BY 1 ORDER BY 2 DESC, 1")  # fmt: skip

        tags = (f"SELECT tag, count(*) FROM tags WHERE file IN (SELECT value FROM json_each(?))"
                f" GROUP BY tag ORDER BY 2 DESC, 1 LIMIT {int(most_tags)}")  # fmt: skip
        return {
            "total": len(self.ids(query)),
            "architecture": group(column("architecture"), "architectures"),
            "family": group(column("family"), "families"),
            "folder": group(column("folder"), "folder"),
            "tag": group(tags, "tags"),
            "favourite": len(self.ids(replace(query, favourite=True))),
            "used": len(self.ids(replace(query, used=True))),
            "no_preview": len(self.ids(replace(query, no_preview=True))),
            "missing": len(self.ids(replace(query, missing=True))),
            "problem": len(self.ids(replace(query, problem=True))),
        }

    def _remember(self, key: Hashable, make: Callable[[], T]) -> T:
        revision = self._store.revision()
        with self._lock:
            if revision != self._revision:
                self._kept.clear()
                self._revision = revision
            if key in self._kept:
                self._kept.move_to_end(key)
                kept: T = self._kept[key]
                return kept
        made = make()
        with self._lock:
            if revision == self._revision:
                self._kept[key] = made
                while len(self._kept) > KEPT_RESULTS:
                    self._kept.popitem(last=False)
        return made

    def _ordered(self, query: Query) -> list[int]:
        return self._list(f"SELECT id FROM files WHERE state <> {MISSING} ORDER BY {_order(query)}")

    def _filtered(self, query: Query, ordered: list[int]) -> list[int]:
        where, values = _conditions(query)
        found = set(self._list(f"SELECT id FROM files WHERE {' AND '.join(where)}", values)) if where else None
        words = fold(storable(query.text)).split()
        indexed = [w for w in words if len(w) >= 3 and self._store.trigram]
        short = [w for w in words if w not in indexed]
        phrases = [w for w in indexed if not _HASH.fullmatch(w)]
        sets = [self._matching([w]) | self._with_hash(w) for w in indexed if w not in phrases]
        if phrases:
            sets.append(self._matching(phrases))
        if query.ids is not None:
            sets.append(set(query.ids))
        if query.missing or not self._store.trigram:
            sets += [self._containing(w) | self._with_hash(w) for w in short]
            short = []
        for hits in sorted(sets, key=len):
            found = hits if found is None else found & hits
        if query.missing and found:
            # Removed files are not in the common order.
            return self._list(
                "SELECT id FROM files WHERE id IN (SELECT value FROM json_each(?))"
                f" ORDER BY {_order(query)}", [json.dumps(list(found))],
            )  # fmt: skip
        if short:
            texts = self._texts(query)
            for word in short[1:]:
                texts = [pair for pair in texts if word in pair[1]]
            last = short[0]
            holding = [i for i, text in texts if last in text]
            return holding if found is None else list(filter(found.__contains__, holding))
        return ordered if found is None else list(filter(found.__contains__, ordered))

    def _with_hash(self, word: str) -> set[int]:
        if not _HASH.fullmatch(word):
            return set()
        return set(self._list("SELECT id FROM files WHERE sha256 BETWEEN ? AND ? OR autov3 BETWEEN ? AND ?",
                              [word, word + "g"] * 2))  # fmt: skip

    def _matching(self, words: list[str]) -> set[int]:
        """Files whose text holds all the words, of three letters and more, by the trigram index."""
        phrases = " ".join('"' + word.replace('"', '""') + '"' for word in words)
        return set(self._list("SELECT rowid FROM search WHERE search MATCH ?", [phrases]))

    def _containing(self, word: str) -> set[int]:
        pattern = re.sub(r"([%_\\])", r"\\\1", word)
        return set(self._list("SELECT rowid FROM search WHERE text LIKE ? ESCAPE '\\'", [f"%{pattern}%"]))

    def _texts(self, query: Query) -> list[tuple[int, str]]:
        """Every file's text in the query's order, for words that are too short for the index.

        Python looks through them twice as fast as LIKE does. Only one order's are kept: they are the largest thing
        that the library holds.
        """
        wanted = (query.order, query.descending)
        order, texts = self._remember("texts", lambda: (wanted, self._texts_in_order(query)))
        if order != wanted:
            self._forget("texts")
            _, texts = self._remember("texts", lambda: (wanted, self._texts_in_order(query)))
        return texts

    def _texts_in_order(self, query: Query) -> list[tuple[int, str]]:
        # The table behind the FTS table, which is read in half the time.
        return self._store.connection().execute(
            "SELECT f.id, s.c0 FROM files f JOIN search_content s ON s.id = f.id"
            f" WHERE f.state <> {MISSING} ORDER BY {_order(query).replace(', id', ', f.id')}"
        ).fetchall()  # fmt: skip

    def _forget(self, key: Hashable) -> None:
        with self._lock:
            self._kept.pop(key, None)

    def _list(self, sql: str, values: Sequence[Any] = ()) -> list[int]:
        """The one column of a query; as JSON, which is made and read in C."""
        wrapped = f"WITH found(value) AS ({sql}) SELECT json_group_array(value) FROM found"
        (text,) = self._store.connection().execute(wrapped, values).fetchone()
        ids: list[int] = json.loads(text)
        return ids

    def _card(self, row: Any, spelled: Mapping[str, str]) -> dict[str, Any]:
        (file_id, root, name, folder, size, mtime_ns, added_ns, state, pending, sha256, autov3, favourite, uses,
         used_ns, card) = row  # fmt: skip
        shown: dict[str, Any] = {
            "id": file_id,
            "name": normalise_path(name),
            "folder": folder,
            "root": root,
            "insert": spelled[name],
            "size": size,
            "modified": mtime_ns / 1e9,
            "added": added_ns / 1e9,
            "version": f"{size:x}-{mtime_ns:x}",
            "state": _STATES[state],
            "reading": bool(pending),
            "autov2": sha256[:10] if sha256 else None,
            "autov3": autov3[:12] if autov3 else None,
            "favourite": bool(favourite),
            "uses": uses,
            "used": used_ns / 1e9 if used_ns else None,
        }
        shown.update(json.loads(card) if card else UNREAD)
        return shown


def _order(query: Query) -> str:
    columns = ORDERS[query.order]
    return ", ".join(f"{column} DESC" for column in columns.split(", ")) if query.descending else columns


def _conditions(query: Query) -> tuple[list[str], list[Any]]:
    where: list[str] = []
    values: list[Any] = []

    def any_of(column: str, wanted: tuple[str, ...]) -> None:
        if wanted:
            where.append(f"{column} IN ({', '.join('?' * len(wanted))})")
            values.extend(wanted)

    any_of("architecture", query.architectures)
    any_of("family", query.families)
    if query.folder:
        folder = storable(query.folder).strip("/")
        where.append("(folder = ? OR folder BETWEEN ? AND ?)")
        values += [folder, f"{folder}/", f"{folder}0"]  # "0" follows "/"
    for tag in query.tags:
        where.append("id IN (SELECT file FROM tags WHERE tag = ?)")
        values.append(tag)
    for condition, wanted in (
        ("favourite = 1", query.favourite), ("uses > 0", query.used), ("has_preview = 0", query.no_preview),
        (f"state <> {PRESENT}", query.missing), ("problem > 0", query.problem),
    ):  # fmt: skip
        if wanted:
            where.append(condition)
    if query.adult is not None:
        where.append(f"adult = {int(query.adult)}")
    if where and not query.missing:
        where.append(f"state <> {MISSING}")
    return where, values
