// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePostgres

/// What is known of a text with several statements, before the server sees it.
@Suite struct ScriptTests {
    @Test(arguments: [
        ("COMMIT", true), ("INSERT INTO t VALUES (1); COMMIT", true), ("SELECT 1;END", true),
        ("SELECT 1; -- COMMIT\n /* ; COMMIT */ SELECT 2", false), ("SELECT 'x; COMMIT'", false),
        ("SELECT \"a; COMMIT\"", false), ("SELECT $$; COMMIT; $$", false),
        ("SELECT 1; commit and chain; SELECT 2", true),
        ("DO $x$ BEGIN; COMMIT; END $x$; PREPARE TRANSACTION 'a'", true), ("PREPARE p AS SELECT 1; SELECT 2", false),
        ("CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM t; COMMIT)", false),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END; SELECT 1", false),
        ("CREATE OR REPLACE PROCEDURE f() BEGIN ATOMIC SELECT 1; END; END", true),
        ("; ; ", false), ("", false), ("SELECT 1) ; COMMIT", true), ("SELECT E'\\'; COMMIT'", false),
    ])
    func aCommitIsFoundWhereverItIs(text: String, commits: Bool) {
        #expect(SQL(raw: text).containsCommit == commits)
    }

    @Test(arguments: [
        ("ROLLBACK", true), ("SELECT 1; ROLLBACK WORK", true), ("ABORT", true), ("SELECT 1; COMMIT", true),
        ("ROLLBACK TO a", false), ("ROLLBACK WORK TO SAVEPOINT a; RELEASE a", false),
        ("ROLLBACK TRANSACTION TO a", false), ("SELECT 'ROLLBACK'; SAVEPOINT a", false),
    ])
    func whatEndsATransactionIsKnown(text: String, ends: Bool) {
        #expect(SQL(raw: text).endsTransaction == ends)
    }

    @Test func statementsAreSplitAsTheServerSplitsThem() {
        let text = "begin; insert into t (a) values (1); ; \"x\"; update t set a = 2"
        #expect(
            SQLScanner(Array(text.utf8)).statements(words: 3)
                == [["BEGIN"], ["INSERT", "INTO", "T"], ["UPDATE", "T", "SET"]]
        )
    }

    @Test(arguments: [
        ("CALL p()", true), ("do $$ begin end $$", true), ("VACUUM t", true), ("DROP INDEX CONCURRENTLY i", true),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", true), ("CREATE INDEX i ON t (a)", false),
        ("INSERT INTO t VALUES ('CALL')", false), ("SELECT 1", false),
    ])
    func whatMayCommitWhileItRunsIsKnown(text: String, commits: Bool) {
        #expect(SQL(raw: text).mayCommitWithin == commits)
    }
}
