// SPDX-License-Identifier: Apache-2.0
import PosthousePostgres
import Testing

@Suite struct ConnectionLibPQParametersTests {
    @Test func oneHostIsGivenToLibPQWithItsNameAndItsAddress() throws {
        let parameters = try ConnectionParameters("postgres://u:pw@a,b:2/d?hostaddr=,9.9.9.9", environment: .testing())
        let b = parameters.hosts[1]
        let resolved = parameters.libpqParameters(for: b, address: "10.0.0.1")
        #expect(resolved.prefix(4).map(\.keyword) == ["host", "hostaddr", "port", "user"])
        #expect(resolved.prefix(3).map(\.value) == ["b", "10.0.0.1", "2"])
        #expect(parameters.libpqParameters(for: b, address: nil)[1].value == "9.9.9.9")
        #expect(parameters.libpqParameters(for: parameters.hosts[0], address: nil)[1].keyword == "port")
    }

    @Test func whatPosthouseDoesItselfIsNotLeftToLibPQ() throws {
        let parameters = try ConnectionParameters(
            "host=h load_balance_hosts=random connect_timeout=1 target_session_attrs=standby tcp_user_timeout=0 keepalives_idle=0",
            environment: .testing()
        )
        #expect(parameters.connectTimeout == .seconds(1))
        let keywords = Set(parameters.libpq.keys)
        #expect(keywords == ["host", "port", "user", "dbname", "passfile", "target_session_attrs"])
        #expect(parameters.libpq["target_session_attrs"] == "any")
    }

    @Test(arguments: [
        "postgres://u:p%20w@h1,h2:6432/d?options=-c%20a%3Db&application_name=x&sslmode=verify-ca&keepalives_count=2",
        "host=/tmp port=99 user='a b' password='it\\'s' dbname='d=d' sslcompression=0 sslsni=1 krbsrvname=k gsslib=gssapi",
        "hostaddr=::1 user=u dbname=d password=x ssl_min_protocol_version=TLSv1.2 ssl_max_protocol_version=TLSv1.3",
        "user=u dbname=postgres://not/expanded fallback_application_name=f requirepeer=p replication=database client_encoding=auto",
    ])
    func libPQTakesThemAndMeansTheSame(text: String) throws {
        var environment = ConnectionEnvironment.process
        environment.variables = [:]
        let parameters = try ConnectionParameters(text, environment: environment)
        for endpoint in parameters.hosts {
            let connection = LibPQReference.prepare(parameters.libpqParameters(for: endpoint, address: nil))
            #expect(connection.error.contains("channel_binding"), "\(connection.error)")
            #expect(connection.host == endpoint.host)
            #expect(connection.port == String(endpoint.port))
            #expect(connection.user == parameters.user)
            #expect(connection.database == parameters.dbname)
            #expect(connection.password == parameters.password?.revealed ?? "")
        }
    }
}
