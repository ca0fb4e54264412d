// SPDX-License-Identifier: Apache-2.0

import CLibPQ
import Glibc
import Testing

@testable import PosthousePostgres

/// Rows made in memory with libpq's own functions, for tests of decoding that need no server.
enum MadeResult {
    struct Column {
        var name: String
        var type: SQLType
        var values: [String?]
    }

    static func rows(_ columns: Column...) throws -> Rows {
        let result = try #require(PQmakeEmptyPGresult(nil, PGRES_TUPLES_OK))
        let names = columns.map { strdup($0.name) }
        defer { names.forEach { free($0) } }
        var attributes = columns.indices.map { index in
            PGresAttDesc(
                name: names[index],
                tableid: 0,
                columnid: 0,
                format: 0,
                typid: columns[index].type.oid,
                typlen: -1,
                atttypmod: -1
            )
        }
        PQsetResultAttrs(result, Int32(columns.count), &attributes)
        for (index, column) in columns.enumerated() {
            for (row, value) in column.values.enumerated() {
                if var value {
                    let count = value.utf8.count
                    value.withUTF8 { bytes in
                        bytes.withMemoryRebound(to: CChar.self) {
                            _ = PQsetvalue(
                                result,
                                Int32(row),
                                Int32(index),
                                UnsafeMutablePointer(mutating: $0.baseAddress),
                                Int32(count)
                            )
                        }
                    }
                } else {
                    PQsetvalue(result, Int32(row), Int32(index), nil, -1)
                }
            }
        }
        return Rows(result: ServerResult(owning: result, host: "db1:5432"))
    }
}
