// SPDX-License-Identifier: Apache-2.0

extension PoolConfiguration {
    /// How long a driver may take for a connect that the pool gives up after `connectTimeout`: a little less, because the
    /// driver knows how far it got.
    package static func driverTimeout(within connectTimeout: Duration) -> Duration {
        connectTimeout - min(connectTimeout / 20, .milliseconds(50))
    }
}
