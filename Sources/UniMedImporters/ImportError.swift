public import Foundation
public import UniMedData

/// What an importer or the preparation of data could not do, with the file and field at fault.
public struct ImportError: Error, Sendable, Equatable, CustomStringConvertible, LocalizedError {
    /// The importer's name; `nil` when the failure is not that of one importer.
    public let importer: String?
    /// What went wrong, and where.
    public let cause: DataError

    /// Makes an error from what went wrong with the data.
    public init(_ cause: DataError, importer: String? = nil) {
        self.importer = importer
        self.cause = cause
    }

    /// Makes an error.
    public init(
        _ kind: DataError.Kind,
        _ problem: String,
        file: String? = nil,
        line: Int? = nil,
        field: String? = nil,
        importer: String? = nil
    ) {
        self.init(DataError(kind, problem, file: file, line: line, field: field), importer: importer)
    }

    /// One line: the importer, the file, the line, the field, and what is wrong.
    public var description: String {
        importer.map { "\($0): \(cause.description)" } ?? cause.description
    }

    /// The kind of failure alone, without any text from files: safe as a metric's label.
    public var shortDescription: String { cause.shortDescription }

    /// The same as ``description``.
    public var errorDescription: String? { description }
}

/// Runs what throws data errors and adds the importer's name to them.
func importing<Result>(
    _ importer: String,
    _ body: () throws(DataError) -> Result
) throws(ImportError) -> Result {
    do throws(DataError) {
        return try body()
    } catch {
        throw ImportError(error, importer: importer)
    }
}
