"""Rosters, their versions, and requests."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.storage.base import BlockingStore, examples, on_each_database
from xmppd.storage import accounts, roster
from xmppd.storage.roster import Request, RosterItem

ROMEO = RosterItem("romeo@example.net", "Roméo", ("Friends", "Ünïcode"), "both", ask=True, approved=True)

CHANGES = st.lists(
    st.tuples(st.sampled_from("abcde"), st.sampled_from(["put", "delete", "prune"])), max_size=30
)


@on_each_database
class RosterTests:
    store: BlockingStore

    def setUp(self) -> None:
        self.store = self.make_store()
        self.count = 0
        self.account = self.new_account()

    def new_account(self) -> int:
        self.count += 1
        with self.store.transaction() as cursor:
            return accounts.create(cursor, "example.org", f"user{self.count}", [], created=1).id

    def test_new_roster_is_empty(self) -> None:
        with self.store.transaction() as cursor:
            self.assertEqual(roster.load(cursor, self.account), roster.Roster(0, []))
            self.assertEqual(roster.changes_since(cursor, self.account, 0), [])

    def test_item_comes_back_as_it_was(self) -> None:
        with self.store.transaction() as cursor:
            version = roster.upsert(cursor, self.account, ROMEO)
            self.assertEqual(
                roster.load(cursor, self.account), roster.Roster(1, [replace(ROMEO, version=version)])
            )

    def test_item_is_replaced(self) -> None:
        with self.store.transaction() as cursor:
            roster.upsert(cursor, self.account, ROMEO)
            roster.upsert(cursor, self.account, RosterItem(ROMEO.jid))
            self.assertEqual(roster.load(cursor, self.account).items, [RosterItem(ROMEO.jid, version=2)])

    def test_removed_item_is_gone_but_known_to_older_versions(self) -> None:
        with self.store.transaction() as cursor:
            before = roster.upsert(cursor, self.account, ROMEO)
            after = roster.delete(cursor, self.account, ROMEO.jid)
            self.assertEqual(roster.load(cursor, self.account), roster.Roster(after, []))
            (change,) = roster.changes_since(cursor, self.account, before)
            self.assertEqual((change.jid, change.removed, change.version), (ROMEO.jid, True, after))

    def test_removing_nobody_changes_no_version(self) -> None:
        with self.store.transaction() as cursor:
            self.assertIsNone(roster.delete(cursor, self.account, ROMEO.jid))
            roster.upsert(cursor, self.account, ROMEO)
            roster.delete(cursor, self.account, ROMEO.jid)
            self.assertIsNone(roster.delete(cursor, self.account, ROMEO.jid))
            self.assertEqual(roster.load(cursor, self.account).version, 2)

    def test_rosters_do_not_mix(self) -> None:
        other = self.new_account()
        with self.store.transaction() as cursor:
            roster.upsert(cursor, self.account, ROMEO)
            self.assertEqual(roster.load(cursor, other), roster.Roster(0, []))

    def test_version_of_another_roster_is_not_known(self) -> None:
        with self.store.transaction() as cursor:
            roster.upsert(cursor, self.account, ROMEO)
            self.assertIsNone(roster.changes_since(cursor, self.account, 2))
            self.assertIsNone(roster.changes_since(cursor, self.account, -1))

    def test_pruned_tombstones_make_older_versions_unknown(self) -> None:
        with self.store.transaction() as cursor:
            for name in "abc":
                roster.upsert(cursor, self.account, RosterItem(name))
                roster.delete(cursor, self.account, name)
            self.assertEqual(roster.prune(cursor, self.account, keep=1), 2)
            self.assertIsNone(roster.changes_since(cursor, self.account, 3))
            self.assertEqual([i.jid for i in roster.changes_since(cursor, self.account, 4)], ["c"])
            self.assertEqual(roster.prune(cursor, self.account, keep=1), 0)

    @examples(60)
    @given(CHANGES, st.integers(0, 30))
    def test_changes_bring_every_known_version_up_to_date(
        self, changes: list[tuple[str, str]], since: int
    ) -> None:
        account = self.new_account()
        states: list[dict[str, str]] = [{}]
        with self.store.transaction() as cursor:
            for number, (jid, change) in enumerate(changes):
                state = dict(states[-1])
                if change == "put":
                    roster.upsert(cursor, account, RosterItem(jid, name=str(number)))
                    states.append({**state, jid: str(number)})
                elif change == "delete" and roster.delete(cursor, account, jid) is not None:
                    del state[jid]
                    states.append(state)
                elif change == "prune":
                    roster.prune(cursor, account, keep=1)
            whole = roster.load(cursor, account)
            found = roster.changes_since(cursor, account, since)
        self.assertEqual((whole.version, {i.jid: i.name for i in whole.items}), (len(states) - 1, states[-1]))
        if since >= len(states):
            self.assertIsNone(found)
        elif found is not None:
            client = dict(states[since])
            for item in found:
                client.pop(item.jid, None) if item.removed else client.update({item.jid: item.name})
            self.assertEqual(client, states[-1])

    def test_requests_are_kept_until_they_are_answered(self) -> None:
        first, second = (
            Request("a@example.net", b"<presence>1</presence>"),
            Request("b@example.net", b"<presence/>"),
        )
        with self.store.transaction() as cursor:
            for request in (second, first):
                roster.put_request(cursor, self.account, request)
            self.assertEqual(roster.requests(cursor, self.account), [first, second])
            roster.put_request(cursor, self.account, Request("a@example.net", b"<presence>2</presence>"))
            self.assertEqual(roster.requests(cursor, self.account)[0].stanza, b"<presence>2</presence>")
            self.assertTrue(roster.delete_request(cursor, self.account, "a@example.net"))
            self.assertFalse(roster.delete_request(cursor, self.account, "a@example.net"))
            self.assertEqual(roster.requests(cursor, self.account), [second])

    def test_contacts_of_accounts(self) -> None:
        other = self.new_account()
        with self.store.transaction() as cursor:
            for jid in ("a@b.example", "c@d.example"):
                roster.upsert(cursor, self.account, RosterItem(jid))
            roster.delete(cursor, self.account, "a@b.example")
            self.assertEqual(
                roster.contacts(cursor, [self.account, other]),
                {self.account: {"c@d.example"}, other: set()},
            )
