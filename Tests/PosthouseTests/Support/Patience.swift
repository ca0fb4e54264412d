// SPDX-License-Identifier: Apache-2.0

import Posthouse

extension ClusterConfiguration {
    /// The defaults, for tests in which what is asked for comes: however long it takes on a machine that others use too.
    static var patient: ClusterConfiguration { ClusterConfiguration(acquireTimeout: .seconds(120)) }

    /// As `patient`, where nobody is silent and no host may be thrown out: slow answers are answers.
    static var unhurried: ClusterConfiguration {
        ClusterConfiguration(acquireTimeout: .seconds(120), refreshTimeout: .seconds(5))
    }
}
