// SPDX-License-Identifier: Apache-2.0

/// The type of a result column, as the server numbers it.
public struct SQLType: Hashable, Sendable, CustomStringConvertible {
    /// The server's object identifier; fixed for the built-in types, different in each database for others.
    public let oid: UInt32

    /// Wraps an object identifier.
    public init(oid: UInt32) {
        self.oid = oid
    }

    /// PostgreSQL's name of a built-in type (`int8`, `timestamptz`, `text[]`), or `type 16421` for one that is not.
    public var description: String {
        if let name = Self.scalarNames[oid] { return name }
        if let element = Self.elements[oid] { return SQLType(oid: element).description + "[]" }
        return "type \(oid)"
    }

    /// The type of the elements, if this is a built-in array type; otherwise the unknown type.
    public var element: SQLType {
        SQLType(oid: Self.elements[oid] ?? 0)
    }

    /// `bytea`
    public static let bytea = SQLType(oid: 17)
    /// `date`
    public static let date = SQLType(oid: 1082)
    /// `timestamp` (without time zone)
    public static let timestamp = SQLType(oid: 1114)
    /// `timestamptz`
    public static let timestamptz = SQLType(oid: 1184)

    // From pg_type.dat of PostgreSQL; these numbers never change.
    private static let scalarNames: [UInt32: String] = [
        16: "bool", 17: "bytea", 18: "\"char\"", 19: "name", 20: "int8", 21: "int2", 22: "int2vector", 23: "int4",
        24: "regproc", 25: "text", 26: "oid", 27: "tid", 28: "xid", 29: "cid", 30: "oidvector", 114: "json", 142: "xml",
        600: "point", 601: "lseg", 602: "path", 603: "box", 604: "polygon", 628: "line", 650: "cidr", 700: "float4",
        701: "float8", 705: "unknown", 718: "circle", 774: "macaddr8", 790: "money", 829: "macaddr", 869: "inet",
        1042: "bpchar", 1043: "varchar", 1082: "date", 1083: "time", 1114: "timestamp", 1184: "timestamptz",
        1186: "interval", 1266: "timetz", 1560: "bit", 1562: "varbit", 1700: "numeric", 2202: "regprocedure",
        2205: "regclass", 2206: "regtype", 2249: "record", 2278: "void", 2950: "uuid", 3220: "pg_lsn", 3614: "tsvector",
        3615: "tsquery", 3802: "jsonb", 3904: "int4range", 3906: "numrange", 3908: "tsrange", 3910: "tstzrange",
        3912: "daterange", 3926: "int8range", 4072: "jsonpath", 5038: "pg_snapshot", 5069: "xid8",
    ]

    private static let elements: [UInt32: UInt32] = [
        143: 142, 199: 114, 271: 5069, 651: 650, 719: 718, 775: 774, 791: 790, 1000: 16, 1001: 17, 1002: 18, 1003: 19,
        1005: 21, 1007: 23, 1008: 24, 1009: 25, 1010: 27, 1011: 28, 1014: 1042, 1015: 1043, 1016: 20, 1017: 600,
        1021: 700, 1022: 701, 1028: 26, 1040: 829, 1041: 869, 1115: 1114, 1182: 1082, 1183: 1083, 1185: 1184,
        1187: 1186, 1231: 1700, 1270: 1266, 1561: 1560, 1563: 1562, 2210: 2205, 2211: 2206, 2287: 2249, 2951: 2950,
        3221: 3220, 3643: 3614, 3645: 3615, 3807: 3802, 3905: 3904, 3907: 3906, 3909: 3908, 3911: 3910, 3913: 3912,
        3927: 3926, 4073: 4072,
    ]
}
