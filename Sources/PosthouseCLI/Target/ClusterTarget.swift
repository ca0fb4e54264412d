// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Posthouse

/// The connection string that most commands begin with.
struct ClusterTarget: ParsableArguments {
    @Argument(
        help: ArgumentHelp("A URI (postgresql://db1,db2/app) or, in quotes, keyword=value pairs.", valueName: "dsn")
    )
    var connectionString: String

    /// Makes a cluster, or ends the command with a message that names what is wrong.
    func open(
        application: String,
        configuration: ClusterConfiguration = ClusterConfiguration()
    ) throws -> PostgresCluster {
        do {
            var options = ConnectionOptions(dsn: connectionString)
            options.applicationName = application
            let parameters = try ConnectionParameters(options)
            for notice in parameters.notices { Console.remark("posthouse: \(notice)") }
            return try PostgresCluster(parameters, configuration: configuration)
        } catch let error as ConnectionStringError {
            Console.remark("posthouse: \(error)")
            throw ExitCode.badUsage
        } catch {
            Console.remark("posthouse: \(error)")
            throw ExitCode.failed
        }
    }
}

/// Which host a statement goes to.
enum TargetRole: String, ExpressibleByArgument, CaseIterable {
    case primary
    case replica
    case any
}

extension PostgresCluster {
    /// Runs `body` on a host of that role.
    func run<Result>(
        on role: TargetRole,
        timeout: Duration? = nil,
        _ body: (DatabaseSession) async throws -> Result
    ) async throws -> Result {
        switch role {
        case .primary: try await write(timeout: timeout, body)
        case .replica: try await read(timeout: timeout, body)
        case .any: try await withAnyHost(timeout: timeout, body)
        }
    }
}

extension ExitCode {
    /// What a failed command says to the shell.
    init(_ error: any Error) {
        switch (error as? ClusterError)?.code {
        case .noHostReachable: self = .noHostReachable
        case .noPrimary, .noReplica: self = .noPrimary
        case .invalidArgument: self = .badUsage
        default: self = .failed
        }
    }
}

/// A short, stable name for an error, to count by.
func label(of error: any Error) -> String {
    switch error {
    case let error as DatabaseError: error.sqlState?.rawValue ?? error.code.description
    case let error as ClusterError: error.code.description
    default: String(describing: type(of: error))
    }
}
