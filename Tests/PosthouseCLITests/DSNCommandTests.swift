// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@Suite(.timeLimit(.minutes(20)))
struct DSNCommandTests {
    @Test func jsonIsOneObjectWithTheContractsKeys() async throws {
        let run = try await CommandRun(
            "dsn",
            "postgres://me:hunter2@db1,db2,[::1]:6432/app?sslmode=require&connect_timeout=5&hostaddr=,10.0.0.2,",
            "--json"
        )
        #expect(run.status == 0)
        #expect(run.errors.isEmpty)
        #expect(run.output.split(separator: "\n").count == 1)
        let expected: NSDictionary = [
            "version": 1,
            "hosts": [
                ["host": "db1", "hostaddr": NSNull(), "port": 6432],
                ["host": "db2", "hostaddr": "10.0.0.2", "port": 6432],
                ["host": "::1", "hostaddr": NSNull(), "port": 6432],
            ],
            "user": "me",
            "dbname": "app",
            "password": "***",
            "parameters": ["sslmode": "require", "connect_timeout": "5"],
        ]
        #expect(try run.object() == expected)
        #expect(!run.output.contains("hunter2"))
    }

    @Test func whatIsNotGivenComesFromTheEnvironmentOrIsNull() async throws {
        let run = try await CommandRun(
            "dsn",
            "host=db",
            "--json",
            environment: ["PGUSER": "eu", "PGPORT": "7", "PGAPPNAME": "x\"y"]
        )
        let object = try #require(try run.object())
        #expect(object["user"] as? String == "eu")
        #expect(object["dbname"] as? String == "eu")
        #expect(object["password"] is NSNull)
        #expect(object["hosts"] as? NSArray == [["host": "db", "hostaddr": NSNull(), "port": 7]])
        #expect(object["parameters"] as? NSDictionary == ["application_name": "x\"y"])
        let secret = try await CommandRun(
            "dsn",
            "host=db",
            "--json",
            environment: ["PGPASSWORD": "hunter2"]
        )
        #expect(try secret.object()?["password"] as? String == "***")
    }

    @Test func peopleGetATableThatTellsWhereValuesComeFrom() async throws {
        let run = try await CommandRun(
            "dsn",
            "postgres://me:hunter2@[::1]/app?hostaddr=::1",
            environment: ["PGSSLMODE": "require"]
        )
        #expect(run.status == 0)
        #expect(run.output.hasPrefix("PARAMETER  VALUE "))
        #expect(run.output.contains("[::1]:5432"))
        #expect(run.output.contains("***"))
        #expect(run.output.contains("the environment variable PGSSLMODE"))
        #expect(!run.output.contains("hunter2"))
    }

    @Test(arguments: [
        ("postgres://u:hunter2@h:99999/d", "port"),
        ("postgres://u:hunter2@h/d?sslmod=require", "sslmod"),
        ("postgres://u:hunter2@h/d?sslmode=maybe", "maybe"),
        ("postgres://u:hunter2@h/d?target_session_attrs=leader", "leader"),
        ("postgres://u:hunter2@h/%zz", "hexadecimal"),
        ("postgres://u:hunter2@[::1/d", "]"),
        ("postgres://u:hunter2@h1,,h2/d", "empty"),
        ("mysql://u:hunter2@h/d", "mysql"),
        ("host=h password=hunter2 sslmod=require", "sslmod"),
        ("host=a,b port=1,2,3 password=hunter2", "3 ports"),
        ("host=h password='hunter2", "password"),
        ("nonsense", "="),
    ])
    func malformedTextIsExit64AndSaysWhatIsWrong(text: String, part: String) async throws {
        for arguments in [[text], [text, "--json"]] {
            let run = try await arguments.count == 1 ? CommandRun("dsn", text) : CommandRun("dsn", text, "--json")
            #expect(run.status == 64)
            #expect(run.output.isEmpty)
            #expect(run.errors.contains(part), "\(run.errors)")
            #expect(!run.errors.contains("hunter2"), "\(run.errors)")
        }
    }

    @Test func badUsageIsExit64AndQuotesNothing() async throws {
        let unquoted = try await CommandRun(
            "dsn",
            "host=h",
            "password=hunter2"
        )
        #expect(unquoted.status == 64)
        #expect(unquoted.output.isEmpty)
        #expect(!unquoted.errors.contains("hunter2"))
        #expect(
            try await CommandRun(
                "dsn",
            ).status == 64
        )
        #expect(
            try await CommandRun(
                "dsn",
                "--bogus",
                "postgres://u:hunter2@h"
            ).status == 64
        )
    }

    @Test func aBadVariableIsNamed() async throws {
        let run = try await CommandRun(
            "dsn",
            "postgres://h",
            environment: ["PGSSLMODE": "sure"]
        )
        #expect(run.status == 64)
        #expect(run.errors.contains("PGSSLMODE"))
    }

    @Test func aPasswordFileOpenToOthersIsARemarkAndNothingElse() async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "dsn-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let file = directory.appending(path: ".pgpass")
        func run(mode: Int) async throws -> CommandRun {
            _ = FileManager.default.createFile(
                atPath: file.path,
                contents: Data("*:*:*:*:hunter2".utf8),
                attributes: [.posixPermissions: mode]
            )
            return try await CommandRun(
                "dsn",
                "host=h user=u",
                environment: ["HOME": directory.path]
            )
        }
        let open = try await run(mode: 0o644)
        #expect(open.status == 0)
        #expect(open.errors.contains("chmod 0600"))
        #expect(!open.output.contains("password file"))
        let safe = try await run(mode: 0o600)
        #expect(safe.errors.isEmpty)
        #expect(safe.output.contains("the password file"))
        #expect(!(safe.output + open.output + open.errors).contains("hunter2"))
    }
}
