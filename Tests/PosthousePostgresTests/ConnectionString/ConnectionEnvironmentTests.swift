// SPDX-License-Identifier: Apache-2.0
import PosthousePostgres
import Testing

@Suite struct ConnectionEnvironmentTests {
    @Test func variablesCompleteWhatIsNotGiven() throws {
        let environment = ConnectionEnvironment.testing([
            "PGHOST": "e1,e2", "PGPORT": "1,2", "PGUSER": "eu", "PGDATABASE": "ed", "PGPASSWORD": "epw",
            "PGAPPNAME": "app", "PGOPTIONS": "-c a=b", "PGSSLMODE": "require", "PGCONNECT_TIMEOUT": "7",
            "PGTARGETSESSIONATTRS": "primary", "PGSSLROOTCERT": "/ca", "PGCLIENTENCODING": "UTF8",
            "PGREQUIREPEER": "pg",
            "PGLOADBALANCEHOSTS": "random", "PGSSLCERT": "/cert", "PGSSLKEY": "/key", "PGGSSENCMODE": "disable",
            "PGCHANNELBINDING": "require", "PGSSLSNI": "0", "PGSSLMINPROTOCOLVERSION": "tlsv1.3",
        ])
        let parameters = try ConnectionParameters("", environment: environment)
        #expect(parameters.hosts.map(\.description) == ["e1:1", "e2:2"])
        #expect(parameters.user == "eu")
        #expect(parameters.dbname == "ed")
        #expect(parameters.password?.revealed == "epw")
        #expect(parameters.applicationName == "app")
        #expect(parameters.connectTimeout == .seconds(7))
        #expect(parameters.targetSessionAttributes == .primary)
        #expect(parameters.loadBalanceHosts == .random)
        #expect(parameters.sslmode == .require)
        #expect(parameters.settings.first { $0.keyword == "sslkey" }?.origin == "the environment variable PGSSLKEY")
        let libpq = parameters.libpq
        for (keyword, value) in [
            "options": "-c a=b", "sslrootcert": "/ca", "client_encoding": "UTF8", "requirepeer": "pg",
            "sslcert": "/cert",
            "gssencmode": "disable", "channel_binding": "require", "sslsni": "0", "ssl_min_protocol_version": "tlsv1.3",
        ] {
            #expect(libpq[keyword] == value)
        }
    }

    @Test func theConnectionStringWinsOverTheEnvironment() throws {
        let environment = ConnectionEnvironment.testing([
            "PGHOST": "e", "PGPORT": "1", "PGUSER": "eu", "PGDATABASE": "ed", "PGPASSWORD": "epw",
            "PGSSLMODE": "require",
        ])
        let parameters = try ConnectionParameters("postgres://u:pw@h:2/d?sslmode=allow", environment: environment)
        #expect(parameters.description == "postgresql://u:***@h:2/d?sslmode=allow")
        #expect(parameters.password?.revealed == "pw")
        // As in libpq: a list of hosts without ports means the default port for each, and PGPORT is for who says nothing.
        #expect(try ConnectionParameters("postgres://h", environment: environment).hosts.map(\.port) == [1])
        #expect(try ConnectionParameters("postgres://h,i", environment: environment).hosts.map(\.port) == [5432, 5432])
        #expect(try ConnectionParameters("host=h,i", environment: environment).hosts.map(\.port) == [1, 1])
    }

    @Test func anEmptyValueKeepsTheEnvironmentOut() throws {
        let environment = ConnectionEnvironment.testing([
            "PGHOST": "e", "PGDATABASE": "ed", "PGUSER": "eu", "PGPASSWORD": "p",
        ])
        let parameters = try ConnectionParameters("host='' dbname='' user='' password=''", environment: environment)
        #expect(parameters.hosts == [HostEndpoint(host: "/run/pg")])
        #expect(parameters.user == "osuser")
        #expect(parameters.dbname == "osuser")
        #expect(parameters.password == nil)
    }

    @Test func theUserIsTheOperatingSystemsAndTheDatabaseIsTheUser() throws {
        let parameters = try ConnectionParameters("", environment: .testing())
        #expect(parameters.user == "osuser")
        #expect(parameters.dbname == "osuser")
        var nobody = ConnectionEnvironment.testing()
        nobody.userName = nil
        #expect(connectionStringError("", nobody)?.code == .unknownUser)
        #expect(connectionStringError("user=u", nobody) == nil)
        #expect(try ConnectionParameters("user=u", environment: .testing()).dbname == "u")
    }

    @Test func requireSSLIsOlderThanSSLMode() throws {
        #expect(try ConnectionParameters("", environment: .testing(["PGREQUIRESSL": "1"])).sslmode == .require)
        #expect(try ConnectionParameters("", environment: .testing(["PGREQUIRESSL": "0"])).sslmode == .prefer)
        #expect(
            try ConnectionParameters("", environment: .testing(["PGREQUIRESSL": "1", "PGSSLMODE": "allow"])).sslmode
                == .allow
        )
    }

    @Test(arguments: [
        ("PGSSLMODE", "sure"), ("PGSSLMODE", ""), ("PGPORT", "x"), ("PGCONNECT_TIMEOUT", "soon"),
        ("PGTARGETSESSIONATTRS", "leader"), ("PGHOSTADDR", "name"), ("PGSSLSNI", "on"),
    ])
    func aBadVariableIsAnErrorThatNamesIt(variable: String, value: String) throws {
        let error = try #require(connectionStringError("", .testing([variable: value])))
        #expect(error.message.contains(variable))
    }

    @Test func theProcessHasAUserAndALibPQ() {
        let environment = ConnectionEnvironment.process
        #expect(environment.userName?.isEmpty == false)
        #expect(environment.libpqVersion >= 140_000)
        #expect(environment.readFile("/nonexistent/file") == .missing)
        #expect(environment.readFile("/dev/null") == .notAFile)
    }
}
