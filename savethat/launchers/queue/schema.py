"""The tables of the queue's file, made where they are missing, and brought up to date."""

from __future__ import annotations

import sqlite3

_VERSION = 2
_TABLES = """
CREATE TABLE IF NOT EXISTS launches (
  id TEXT PRIMARY KEY, folder TEXT NOT NULL, python TEXT NOT NULL, environment TEXT NOT NULL,
  cpus INTEGER NOT NULL, gpus INTEGER NOT NULL, devices TEXT NOT NULL,
  max_parallel INTEGER NOT NULL, queue_limit INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS runs (
  number INTEGER PRIMARY KEY, key TEXT NOT NULL, attempt INTEGER NOT NULL,
  launch TEXT NOT NULL, position INTEGER NOT NULL, state TEXT NOT NULL,
  claim INTEGER NOT NULL DEFAULT 0, pid INTEGER NOT NULL DEFAULT 0,
  pid_started REAL NOT NULL DEFAULT 0, ending TEXT NOT NULL DEFAULT '',
  reason TEXT NOT NULL DEFAULT '', changed REAL NOT NULL, UNIQUE (key, attempt));
CREATE INDEX IF NOT EXISTS runs_by_state ON runs (state, launch);
CREATE INDEX IF NOT EXISTS runs_by_launch ON runs (launch, position);
CREATE TABLE IF NOT EXISTS runners (
  environment TEXT PRIMARY KEY, pid INTEGER NOT NULL, pid_started REAL NOT NULL);
"""
# What came later. Programs of before, which may share the file, name the columns they write of
# this table, and leave these at 0: a run of theirs is not started again.
_ADDED = ("requeue", "restarts")


def prepare(db: sqlite3.Connection) -> None:
    """Makes the tables of a new file, and adds to those of an older one what they lack.

    Raises:
        sqlite3.Error: the file cannot be used.
    """
    if _version(db) >= _VERSION:
        return
    if _version(db) == 0:
        db.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = 1; COMMIT")
    db.execute("BEGIN IMMEDIATE")
    # Looked at again: another process may have done so meanwhile, and one of before may have set
    # the version back.
    found = {row[1] for row in db.execute("PRAGMA table_info(runs)")}
    for name in _ADDED:
        if name not in found:
            db.execute(f"ALTER TABLE runs ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0")
    db.execute(f"PRAGMA user_version = {_VERSION}")
    db.execute("COMMIT")


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])
