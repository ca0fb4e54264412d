// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// A program that a package of the system installs.
enum InstalledProgram {
    /// Where it is: in the folders of `PATH`, or where ordinary users have no path to.
    ///
    /// - Throws: ``LocalClusterError/Code/installationNotFound``.
    static func path(of name: String) throws(LocalClusterError) -> String {
        let folders =
            (environmentVariable("PATH") ?? "").split(separator: ":").map(String.init)
            + ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        let paths = folders.map { "\($0)/\(name)" }
        guard let path = paths.first(where: { (path: String) in access(path, X_OK) == 0 }) else {
            throw LocalClusterError(
                .installationNotFound,
                "There is no program `\(name)` in \(folders.joined(separator: ", "))."
            )
        }
        return path
    }

    static func isInstalled(_ name: String) -> Bool {
        (try? self.path(of: name)) != nil
    }
}
