public import Foundation
import GRDB

/// Runs with their recipes, curves and scores, in one SQLite file.
///
/// Several processes can write at the same time: the file has a write-ahead log, and who comes second waits. What is
/// recorded twice replaces what was there. Curves are down-sampled; of predictions there is only the digest.
public final class RunStore: Sendable {
    /// The store unless the user names another.
    public static let standardPath = "runs/runs.sqlite"

    /// The file.
    public let file: URL
    private let pool: DatabasePool

    /// Opens a store, and brings one of an earlier version to this one.
    ///
    /// - Parameters:
    ///   - file: The file.
    ///   - creating: Whether a missing file, and the folders above it, are made.
    ///   - patience: How long it waits for another process that writes, in seconds.
    /// - Throws: ``RunStoreError`` when there is none, it cannot be made, or it is of a later version.
    public init(at file: URL, creating: Bool = true, patience: Double = 20) throws(RunStoreError) {
        self.file = file
        if !FileManager.default.fileExists(atPath: file.path) {
            guard creating else {
                throw RunStoreError(.fileSystem, "no such file; no run is recorded", file: file.path)
            }
            do {
                try FileManager.default.createDirectory(
                    at: file.deletingLastPathComponent(),
                    withIntermediateDirectories: true
                )
            } catch {
                throw RunStoreError(
                    .fileSystem,
                    "the folder cannot be made: \(error.localizedDescription)",
                    file: file.path
                )
            }
        }
        var configuration = Configuration()
        configuration.busyMode = .timeout(patience)
        let path = file.path
        pool = try RunStore.wrapping(path) {
            let pool = try DatabasePool(path: path, configuration: configuration)
            let migrator = RunStore.migrator
            guard try !pool.read(migrator.hasBeenSuperseded) else {
                throw RunStoreError(.format, "written by a later version of this program", file: path)
            }
            try migrator.migrate(pool)
            return pool
        }
    }

    private static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1") { db in
            try db.create(table: "recipe") { table in
                table.primaryKey("digest", .text)
                table.column("yaml", .text).notNull()
                table.column("fields", .text).notNull()
            }
            try db.create(table: "run") { table in
                table.primaryKey("id", .text)
                table.column("name", .text).notNull().indexed()
                table.column("folder", .text).notNull()
                table.column("isFinished", .boolean).notNull()
                table.column("started", .text).notNull().indexed()
                table.column("updated", .text).notNull()
                for name in [
                    "commit", "torchVersion", "system", "device", "precision", "dataKey", "tokenizerDigest",
                    "featuresKey",
                ] {
                    table.column(name, .text)
                }
                table.column("seed", .text).notNull()
                table.column("threads", .integer)
                table.column("steps", .integer).notNull()
                table.column("seconds", .double).notNull()
                table.column("loss", .double)
                table.column("recipeDigest", .text).references("recipe")
            }
            try db.create(table: "curve") { table in
                table.column("runID", .text).notNull().references("run", onDelete: .cascade)
                table.column("series", .text).notNull()
                table.column("step", .integer).notNull()
                table.column("value", .double).notNull()
                table.primaryKey(["runID", "series", "step"])
            }
            try db.create(table: "evaluation") { table in
                table.primaryKey("id", .text)
                table.column("runID", .text).indexed().references("run", onDelete: .cascade)
                table.column("recorded", .text).notNull()
                table.column("command", .text).notNull()
                table.column("predictions", .text).notNull()
                table.column("predictionsDigest", .text).notNull()
                table.column("predictionCount", .integer).notNull()
                table.column("split", .text)
            }
            try db.create(table: "score") { table in
                table.column("evaluationID", .text).notNull().references("evaluation", onDelete: .cascade)
                for name in ["dataset", "task", "subset", "metric"] { table.column(name, .text).notNull() }
                table.column("isPrimary", .boolean).notNull()
                table.column("n", .integer).notNull()
                table.column("skipped", .integer)
                table.column("unparsable", .integer).notNull()
                table.column("leaks", .text)
                table.column("value", .double).notNull()
                table.column("lower", .double)
                table.column("upper", .double)
                table.primaryKey(["evaluationID", "dataset", "task", "subset", "metric"])
            }
        }
        return migrator
    }

    // MARK: Writing

    /// Records a run with its recipe and curves, in the place of what is there of it; its evaluations stay.
    ///
    /// - Throws: ``RunStoreError``; nothing is recorded then.
    public func record(_ run: StoredRun, recipe: StoredRecipe?, curves: [StoredCurve]) throws(RunStoreError) {
        try wrapping {
            try self.pool.write { db in
                if let recipe { try Record(recipe).upsert(db) }
                try Record(run).upsert(db)
                try db.execute(sql: "DELETE FROM curve WHERE runID = ?", arguments: [run.id])
                let statement = try db.makeStatement(
                    sql: "INSERT OR REPLACE INTO curve (runID, series, step, value) VALUES (?, ?, ?, ?)"
                )
                for curve in curves.map({ $0.sampled() }) {
                    for (step, value) in zip(curve.steps, curve.values) {
                        try statement.execute(arguments: [run.id, curve.series, step, value])
                    }
                }
                try RunStore.removeOrphans(db)
            }
        }
    }

    /// Records an evaluation with its scores, in the place of what is there of it.
    ///
    /// - Throws: ``RunStoreError``; nothing is recorded then.
    public func record(_ evaluation: StoredEvaluation, scores: [StoredScore]) throws(RunStoreError) {
        try wrapping {
            try self.pool.write { db in
                try Record(evaluation).upsert(db)
                try db.execute(sql: "DELETE FROM score WHERE evaluationID = ?", arguments: [evaluation.id])
                for score in scores { try Record(score).insert(db) }
            }
        }
    }

    /// Removes runs with their curves and evaluations; the runs' folders stay.
    ///
    /// - Returns: How many were there.
    /// - Throws: ``RunStoreError``.
    @discardableResult
    public func delete(_ ids: [String]) throws(RunStoreError) -> Int {
        try wrapping {
            try self.pool.write { db in
                let count = try Record<StoredRun>.deleteAll(db, keys: ids)
                try RunStore.removeOrphans(db)
                return count
            }
        }
    }

    private static func removeOrphans(_ db: Database) throws {
        try db.execute(
            sql: """
                DELETE FROM recipe WHERE digest NOT IN (SELECT recipeDigest FROM run WHERE recipeDigest IS NOT NULL)
                """
        )
    }

    // MARK: Reading

    /// Every run, the latest first.
    ///
    /// - Throws: ``RunStoreError``.
    public func runs() throws(RunStoreError) -> [StoredRun] {
        try wrapping {
            try self.pool.read { db in
                try Record<StoredRun>.fetchAll(db, sql: "SELECT * FROM run ORDER BY started DESC, id").map(\.value)
            }
        }
    }

    /// The run that is meant by the start of an identifier, a folder, or a name; of several with the name the latest.
    ///
    /// - Throws: ``RunStoreError`` of kind `unknownRun` when there is none, or several have the start.
    public func run(_ text: String) throws(RunStoreError) -> StoredRun {
        let runs = try self.runs()
        if let run = runs.first(where: { $0.id == text }) { return run }
        let byStart = text.count >= 4 ? runs.filter { $0.id.hasPrefix(text) } : []
        if byStart.count > 1 {
            let ids = byStart.map(\.id).joined(separator: ", ")
            throw RunStoreError(.unknownRun, "'\(text)' is the start of several runs: \(ids)", file: file.path)
        }
        if let run = byStart.first { return run }
        let path = URL(fileURLWithPath: text).standardizedFileURL.path
        if let run = runs.first(where: { $0.folder == path }) ?? runs.first(where: { $0.name == text }) { return run }
        throw RunStoreError(.unknownRun, "no run has the identifier, folder or name '\(text)'", file: file.path)
    }

    /// A run's curves, by name.
    ///
    /// - Throws: ``RunStoreError``.
    public func curves(of runID: String) throws(RunStoreError) -> [StoredCurve] {
        try wrapping {
            try self.pool.read { db in
                var curves: [StoredCurve] = []
                let rows = try Row.fetchCursor(
                    db,
                    sql: "SELECT series, step, value FROM curve WHERE runID = ? ORDER BY series, step",
                    arguments: [runID]
                )
                while let row = try rows.next() {
                    let series: String = row["series"]
                    if curves.last?.series != series {
                        curves.append(StoredCurve(series: series, steps: [], values: []))
                    }
                    curves[curves.count - 1].steps.append(row["step"])
                    curves[curves.count - 1].values.append(row["value"])
                }
                return curves
            }
        }
    }

    /// A run's recipe; `nil` when none is recorded.
    ///
    /// - Throws: ``RunStoreError``.
    public func recipe(of run: StoredRun) throws(RunStoreError) -> StoredRecipe? {
        guard let digest = run.recipeDigest else { return nil }
        return try wrapping {
            try self.pool.read { db in try Record<StoredRecipe>.fetchOne(db, key: digest)?.value }
        }
    }

    /// A run's evaluations, the latest first; with `nil` those of models that no known run has made.
    ///
    /// - Throws: ``RunStoreError``.
    public func evaluations(of runID: String?) throws(RunStoreError) -> [StoredEvaluation] {
        try wrapping {
            try self.pool.read { db in
                try Record<StoredEvaluation>.fetchAll(
                    db,
                    sql: "SELECT * FROM evaluation WHERE runID IS ? ORDER BY recorded DESC, id",
                    arguments: [runID]
                ).map(\.value)
            }
        }
    }

    /// An evaluation's scores, by task, data set, subset and metric.
    ///
    /// - Throws: ``RunStoreError``.
    public func scores(of evaluationID: String) throws(RunStoreError) -> [StoredScore] {
        try wrapping {
            try self.pool.read { db in
                try Record<StoredScore>.fetchAll(
                    db,
                    sql: """
                        SELECT * FROM score WHERE evaluationID = ?
                        ORDER BY task, dataset, subset, isPrimary DESC, metric
                        """,
                    arguments: [evaluationID]
                ).map(\.value)
            }
        }
    }

    // MARK: Errors

    private func wrapping<Result>(_ body: () throws -> Result) throws(RunStoreError) -> Result {
        try RunStore.wrapping(file.path, body)
    }

    private static func wrapping<Result>(_ path: String, _ body: () throws -> Result) throws(RunStoreError) -> Result {
        do {
            return try body()
        } catch let error as RunStoreError {
            throw error
        } catch let error as DatabaseError {
            let problem = error.message ?? "\(error.resultCode)"
            switch error.resultCode {
            case .SQLITE_BUSY, .SQLITE_LOCKED: throw RunStoreError(.busy, problem, file: path)
            case .SQLITE_NOTADB, .SQLITE_CORRUPT: throw RunStoreError(.format, problem, file: path)
            case .SQLITE_CANTOPEN, .SQLITE_READONLY, .SQLITE_FULL, .SQLITE_IOERR:
                throw RunStoreError(.fileSystem, problem, file: path)
            default: throw RunStoreError(.database, problem, file: path)
            }
        } catch {
            throw RunStoreError(.database, "\(error)", file: path)
        }
    }
}

/// What is kept in a table of its own.
protocol StoredValue: Codable, Sendable {
    static var tableName: String { get }
}

extension StoredRun: StoredValue { static var tableName: String { "run" } }
extension StoredRecipe: StoredValue { static var tableName: String { "recipe" } }
extension StoredEvaluation: StoredValue { static var tableName: String { "evaluation" } }
extension StoredScore: StoredValue { static var tableName: String { "score" } }

/// A value as GRDB reads and writes it, so that what is public does not depend on GRDB.
private struct Record<Value: StoredValue>: Codable, FetchableRecord, PersistableRecord {
    static var databaseTableName: String { Value.tableName }

    let value: Value

    init(_ value: Value) { self.value = value }

    init(from decoder: any Decoder) throws { value = try Value(from: decoder) }

    func encode(to encoder: any Encoder) throws { try value.encode(to: encoder) }
}
