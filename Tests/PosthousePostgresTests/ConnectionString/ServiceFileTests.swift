// SPDX-License-Identifier: Apache-2.0
import PosthousePostgres
import Testing

@Suite struct ServiceFileTests {

    @Test func aServiceCompletesWhatIsNotGivenBeforeTheEnvironmentDoes() throws {
        let environment = ConnectionEnvironment.testing(
            ["PGUSER": "eu", "PGPORT": "1", "PGSERVICE": "mine"],
            files: [
                "/home/osuser/.pg_service.conf": .text(
                    "[mine]\n host=s1,s2 \r\nport=6432\n#user=no\ndbname=sd=x\npassword=s'pw\nhost=later\n\n[next]\nuser=no\n"
                )
            ]
        )
        let parameters = try ConnectionParameters("postgres:///?dbname=given", environment: environment)
        #expect(parameters.hosts.map(\.description) == ["s1:6432", "s2:6432"])
        #expect(parameters.user == "eu")
        #expect(parameters.dbname == "given")
        #expect(parameters.password?.revealed == "s'pw")
        #expect(parameters.settings.first { $0.keyword == "port" }?.origin == "the service \"mine\"")
        #expect(parameters.libpq["service"] == nil)
    }

    @Test func theNameInTheConnectionStringWins() throws {
        let environment = ConnectionEnvironment.testing(
            ["PGSERVICE": "other"],
            files: ["/home/osuser/.pg_service.conf": .text("[other]\nuser=other\n[mine]\nuser=mine\n")]
        )
        #expect(try ConnectionParameters("service=mine", environment: environment).user == "mine")
        #expect(try ConnectionParameters("", environment: environment).user == "other")
        #expect(try ConnectionParameters("postgres://?service=mine", environment: environment).user == "mine")
    }

    @Test func filesAreAskedInLibPQsOrder() throws {
        var files: [String: ConnectionFile] = [
            "/home/osuser/.pg_service.conf": .text("[a]\nuser=home\n"),
            "/etc/pg/pg_service.conf": .text("[a]\nuser=system\n[b]\nuser=system\n"),
            "/elsewhere": .text("[a]\nuser=elsewhere\n"),
            "/conf/pg_service.conf": .text("[b]\nuser=conf\n"),
            "/root/.pg_service.conf": .text("[a]\nuser=root\n"),
        ]
        func user(_ service: String, _ variables: [String: String] = [:]) throws -> String {
            try ConnectionParameters("service=\(service)", environment: .testing(variables, files: files)).user
        }
        #expect(try user("a") == "home")
        #expect(try user("b") == "system")
        #expect(try user("a", ["PGSERVICEFILE": "/elsewhere"]) == "elsewhere")
        #expect(try user("b", ["PGSERVICEFILE": "/elsewhere"]) == "system")
        #expect(try user("b", ["PGSYSCONFDIR": "/conf"]) == "conf")
        #expect(try user("a", ["HOME": "/root"]) == "root")
        files["/home/osuser/.pg_service.conf"] = nil
        #expect(try user("a") == "system")
    }

    @Test(arguments: [
        ("[a]\nservice=b\n", ConnectionStringError.Code.invalidServiceFile, "service"),
        ("[a]\nhost\n", .invalidServiceFile, "line 2"),
        ("[a]\nhost = x\n", .invalidServiceFile, "line 2"),
        ("[a]\n\nsslmod=require\n", .invalidServiceFile, "line 3"),
        ("[a]\nldap://server/dc=x\n", .invalidServiceFile, "LDAP"),
        ("[b]\nhost=x\n", .serviceNotFound, "\"a\""),
        ("[aa]\nhost=x\n", .serviceNotFound, "\"a\""),
        ("", .serviceNotFound, "\"a\""),
        ("[a]\nsslmode=maybe\n", .invalidValue, "service"),
    ])
    func aBadServiceFileIsATypedError(text: String, code: ConnectionStringError.Code, part: String) throws {
        let environment = ConnectionEnvironment.testing(files: ["/home/osuser/.pg_service.conf": .text(text)])
        let error = try #require(connectionStringError("service=a", environment))
        #expect(error.code == code)
        #expect(error.message.contains(part), "\(error)")
    }

    @Test func aServiceFileThatIsNamedMustExistAndBeReadable() {
        let named = ["PGSERVICEFILE": "/x"]
        #expect(connectionStringError("service=a", .testing(named))?.code == .invalidServiceFile)
        for file in [ConnectionFile.notAFile, .unreadable(reason: "Permission denied")] {
            #expect(
                connectionStringError("service=a", .testing(named, files: ["/x": file]))?.code == .invalidServiceFile
            )
        }
        #expect(connectionStringError("", .testing(named)) == nil)
    }
}
