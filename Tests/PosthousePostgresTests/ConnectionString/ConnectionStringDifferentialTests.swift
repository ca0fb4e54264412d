// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import PosthousePostgres

/// The parser against the installed libpq's own, on the same texts.
@Suite(.timeLimit(.minutes(20)))
struct ConnectionStringDifferentialTests {
    @Test func theKeywordsAreTheInstalledLibPQs() {
        let version = ConnectionEnvironment.process.libpqVersion
        let theirs = LibPQReference.keywords()
        let ours = ConnectionKeyword.all.filter { $0.since > 0 && $0.isKnown(to: version) }
        for keyword in ours {
            let known = theirs[keyword.name]
            #expect(known != nil, "libpq \(version) does not know \(keyword.name)")
            if let known { #expect(known == keyword.environmentVariable, "\(keyword.name)") }
        }
        for name in theirs.keys where ConnectionKeyword.named(name) == nil {
            Issue.record("libpq \(version) knows \(name), which is missing here")
        }
    }

    static let seeds = [
        "postgresql://uri-user:secret@host:12345/db?sslmode=require&connect_timeout=10",
        "postgres://u%40x:p%2Fw@[::1]:1,[fe80::1%25eth0],h3:6432/a%20b?application_name=x%26y&options=-c%20a%3Db",
        "postgresql://user@localhost",
        "postgresql:///mydb?user=user&host=/var/lib/postgresql",
        "postgres://%2Fvar%2Frun/db?ssl=true&requiressl=1&port=5",
        "postgresql://host1:1234,host2,host3:5678?target_session_attrs=read-write",
        "postgresql://",
        "postgres://@:/?",
        "host=a,b port=6432 user='it\\'s' password = 'p w' dbname=x\\ y",
        "hostaddr=1.2.3.4 sslrootcert=/a/b sslkey='' keepalives=1\tservice=s",
        "user=u password=p\\\\w requiressl=0 channel_binding=prefer",
        "",
    ]

    private static let fragments: [String] =
        [
            "@", ":", "/", "?", "&", "=", ",", "[", "]", "%", "%2F", "%00", "%4", "%zz", "%C3%A9", "'", "\\", " ", "\t",
            "\n", "+",
            "#", "é", "\u{301}", "postgres://", "postgresql://", "[::1]", "ssl=true", "requiressl=1",
        ] + ConnectionKeyword.all.filter { $0.since == 15 }.map { $0.name + "=" }

    @Test func eachSeedIsReadAsLibPQReadsIt() {
        for text in Self.seeds {
            #expect((try? ConnectionStringParser.parse(text, libpqVersion: 150_018)) != nil, "\(text)")
            compare(text)
        }
    }

    @Test func mutatedConnectionStringsAreReadAsLibPQReadsThem() {
        for seed in SeededGenerator.seeds(for: "differential") {
            var generator = SeededGenerator(seed: seed)
            var accepted = 0
            for _ in 0..<15_000 {
                var text = Array(Self.seeds.randomElement(using: &generator)!.unicodeScalars)
                for _ in 0..<Int.random(in: 1...4, using: &generator) {
                    let index = Int.random(in: 0...text.count, using: &generator)
                    switch Int.random(in: 0..<4, using: &generator) {
                    case 0:
                        text.insert(
                            contentsOf: Self.fragments.randomElement(using: &generator)!.unicodeScalars,
                            at: index
                        )
                    case 1 where index < text.count: text.remove(at: index)
                    case 2 where index < text.count:
                        text[index] = Unicode.Scalar(UInt8.random(in: 1...127, using: &generator))
                    default: text.removeSubrange(min(index, text.count)..<min(index + 5, text.count))
                    }
                }
                if compare(String(String.UnicodeScalarView(text)), seed: seed) { accepted += 1 }
            }
            #expect(accepted > 1_000, "too few texts were accepted for the comparison to mean much; seed \(seed)")
        }
    }

    @Test func randomBytesNeverTrapAndAreReadAsLibPQReadsThem() {
        for seed in SeededGenerator.seeds(for: "random bytes") {
            var generator = SeededGenerator(seed: seed)
            for _ in 0..<5_000 {
                let count = Int.random(in: 0...40, using: &generator)
                let bytes = (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
                let tail = String(decoding: bytes, as: UTF8.self)
                for text in [tail, "postgres://" + tail, "user=" + tail, "user='" + tail] { compare(text, seed: seed) }
            }
        }
    }

    /// Compares verdicts and values; true if both accept. Where libpq accepts and the parser refuses, the refusal must be one
    /// of those that are documented; where libpq refuses, so must the parser.
    @discardableResult
    private func compare(_ text: String, seed: UInt64 = 0) -> Bool {
        // A NUL ends libpq's text; the parser refuses it. Keywords from later versions are the parser's own affair.
        guard !text.utf8.contains(0), !text.contains("load_balance_hosts") else { return false }
        let theirs = LibPQReference.parse(text)
        let ours: [String: String]
        do {
            ours = try ConnectionStringParser.parse(text, libpqVersion: 150_018)
        } catch {
            guard let theirs else { return false }
            #expect(
                isDocumented(error, for: text, libpq: theirs),
                "seed \(seed): \(error) for \(text.debugDescription)"
            )
            return false
        }
        guard let theirs else {
            Issue.record("seed \(seed): libpq refuses \(text.debugDescription), which gave \(ours)")
            return false
        }
        #expect(ours.mapValues { Array($0.utf8) } == theirs, "seed \(seed): \(text.debugDescription)")
        return true
    }

    private func isDocumented(_ error: ConnectionStringError, for text: String, libpq: [String: [UInt8]]) -> Bool {
        switch error.code {
        case .duplicateParameter:
            return true
        case .invalidText:
            return libpq.contains { String(validating: $0.value, as: UTF8.self) == nil }
        case .invalidPort:
            return text.contains("port=")
                || !HostList.elements(of: String(decoding: libpq["port"] ?? [], as: UTF8.self))
                    .allSatisfy { $0.isEmpty || HostList.number(ofPort: $0) != nil }
        case .malformed:
            if text.hasPrefix("postgres") { return text.contains("@") || text.contains("[") }
            // A pair without a value, which libpq fills with the next pair.
            return zip(text.utf8, text.utf8.dropFirst()).contains { $0 == UInt8(ascii: "=") && $1 <= 0x20 }
        default:
            return false
        }
    }

    /// Whatever the text: no trap, a verdict, and a description that means the same and shows no password.
    @Test func whatIsAcceptedDescribesItselfWithoutThePassword() throws {
        for seed in SeededGenerator.seeds(for: "description") {
            var generator = SeededGenerator(seed: seed)
            let environment = ConnectionEnvironment.testing()
            for _ in 0..<5_000 {
                var text = Self.seeds.randomElement(using: &generator)!
                text.append(Self.fragments.randomElement(using: &generator)!)
                text.append(["", "&", " ", "x"].randomElement(using: &generator)!)
                text.append(Self.fragments.randomElement(using: &generator)!)
                text.append(["", "1", "prefer", "a,b"].randomElement(using: &generator)!)
                guard let parameters = try? ConnectionParameters(text, environment: environment) else { continue }
                #expect(!parameters.hosts.isEmpty)
                let again = try ConnectionParameters(parameters.description, environment: environment)
                #expect(again.hosts == parameters.hosts, "seed \(seed): \(text.debugDescription) became \(parameters)")
                #expect(again.user == parameters.user)
                #expect(again.dbname == parameters.dbname)
                #expect(again.password == nil || again.password?.revealed == "***")
            }
        }
    }
}
