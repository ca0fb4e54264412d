// SPDX-License-Identifier: Apache-2.0
import PosthousePostgres
import Testing

@Suite struct ConnectionSecrecyTests {
    /// Everything that Swift makes of a value when it prints it.
    private func printings(of value: some Any) -> String {
        var text =
            String(describing: value) + String(reflecting: value) + "\(value)" + "\([value])"
            + "\(Optional(value) as Any)"
        dump(value, to: &text)
        dump([("key", value)], to: &text)
        func walk(_ mirror: Mirror, depth: Int) {
            for child in mirror.children where depth < 8 {
                text += "\(child.label ?? "")=\(child.value) "
                walk(Mirror(reflecting: child.value), depth: depth + 1)
            }
        }
        walk(Mirror(reflecting: value), depth: 0)
        return text
    }

    @Test func aSecretPrintsAsAsterisks() {
        let secret = Secret("hunter2")
        #expect("\(secret)" == "***")
        #expect(secret.revealed == "hunter2")
        #expect(!printings(of: secret).contains("hunter2"))
        #expect(!printings(of: ["password": Optional(secret)]).contains("hunter2"))
        #expect(Mirror(reflecting: secret).children.isEmpty)
    }

    @Test(arguments: [
        "postgres://u:hunter2@h/d?sslmode=require",
        "postgres://u@h/d?password=hunter2&sslpassword=hunter2",
        "host=h password=hunter2 sslpassword='hunter2'",
    ])
    func noPrintingOfParametersShowsThePassword(text: String) throws {
        let environment = ConnectionEnvironment.testing(["PGPASSWORD": "hunter2"])
        let parameters = try ConnectionParameters(text, environment: environment)
        let printed = printings(of: parameters) + printings(of: parameters.settings) + printings(of: parameters.notices)
        #expect(!printed.contains("hunter2"))
        #expect(!printings(of: environment).contains("hunter2"))
        #expect(printed.contains("***"))
        #expect(parameters.description.contains(":***@"))
    }

    @Test func noPrintingOfOptionsShowsThePassword() throws {
        let options = ConnectionOptions(dsn: "postgres://u:hunter2@h", password: "hunter2")
        #expect(!printings(of: options).contains("hunter2"))
        #expect(options.dsn == "postgres://u:hunter2@h")
        #expect(options.password == "hunter2")
        let service = ConnectionEnvironment.testing(
            files: ["/home/osuser/.pg_service.conf": .text("[s]\npassword=hunter2\n")]
        )
        #expect(!printings(of: try ConnectionParameters("service=s", environment: service)).contains("hunter2"))
        let file = ConnectionEnvironment.testing(files: ["/home/osuser/.pgpass": .text("*:*:*:*:hunter2")])
        let parameters = try ConnectionParameters("", environment: file)
        #expect(!printings(of: parameters).contains("hunter2"))
        #expect(!printings(of: parameters.password(for: parameters.hosts[0])).contains("hunter2"))
    }

    /// `Hu7` and `Xy9` are the two halves of a password that somebody wrote down wrongly.
    @Test(arguments: [
        "postgres://u:Hu7@Xy9@h/d", "postgres://u:Hu7/Xy9@h/d", "postgres://u:Hu7%Xy9@h/d",
        "postgres://u:Hu7%00Xy9@h/d",
        "postgres://u:Hu7%FFXy9@h/d", "postgres://u:Hu7Xy9", "postgres://u:Hu7Xy9/d", "postgres://u:Hu7@Xy9/@h/d",
        "postgres://u:Hu7?Xy9/@h/d", "postgres://u:Hu7@h?Xy9=1@h/d", "postgres://u:Hu7@x?Xy9@h/d",
        "postgres://u/x:Hu7Xy9@h/d", "postgres://u@x:Hu7Xy9/y@h", "postgres://u:Hu7]Xy9", "postgres://u:[Hu7Xy9",
        "postgres://h/d?password=Hu7&Xy9", "postgres://h/d?password=Hu7&Xy9=", "postgres://h/d?password=Hu7=Xy9",
        "postgres://h/d?password=Hu7%Xy9", "postgres://h/d?passwordHu7Xy9", "postgres://u:p@h:Hu7Xy9/d",
        "postgres://h?user=x&password=Hu7Xy9&password=Hu7Xy9", "postgres://h?password=Hu7Xy9&user=a&user=b",
        "mysql://u:Hu7Xy9@h/d", "u:Hu7Xy9@h", "Hu7Xy9", "Hu7 Xy9", "//u:Hu7Xy9@h", "u/Hu7Xy9@h=1",
        "host= password=Hu7Xy9", "host=h dbname= password=Hu7Xy9", "host=password=Hu7Xy9", "password=Hu7 Xy9",
        "password=Hu7 Xy9 user=x", "password='Hu7Xy9", "password='Hu7'Xy9' user=x",
        "password=Hu7 Xy9=1",
        "password='Hu7' Xy9=1", "passwordHu7Xy9", "password Hu7Xy9", "password:Hu7Xy9",
        "user=u password=Hu7Xy9 host=a,,b",
        "password=Hu7Xy9 password=Hu7Xy9", "sslpassword=Hu7 Xy9", "password=Hu7Xy9\0", "password=Hu7Xy9 port=0",
    ])
    func noErrorShowsAPasswordThatWasWrittenWrongly(text: String) throws {
        let error = try #require(connectionStringError(text), "\(text) was accepted")
        let printed = printings(of: error)
        #expect(!printed.contains("Hu7"), "\(error)")
        #expect(!printed.contains("Xy9"), "\(error)")
    }

    @Test func noErrorOfAServiceFileShowsItsLines() throws {
        for line in ["passwordHu7Xy9", "password=Hu7\0Xy9", "password=Hu7Xy9\nsslmode=x", "password=Hu7Xy9\nbad"] {
            let environment = ConnectionEnvironment.testing(
                files: ["/home/osuser/.pg_service.conf": .text("[s]\n\(line)\n")]
            )
            let error = try #require(connectionStringError("service=s", environment))
            #expect(!printings(of: error).contains("Hu7"))
        }
    }
}
