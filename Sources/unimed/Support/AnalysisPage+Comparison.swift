import Foundation
import UniMedAnalysis
import UniMedReports

extension AnalysisFile {
    /// Reads the file of an analysis that was made before.
    ///
    /// - Parameter path: The analysis' folder, or the run's that holds it.
    /// - Throws: `Failure` when there is none or it cannot be read.
    static func load(_ path: String) throws -> AnalysisFile {
        let folder = URL(fileURLWithPath: path)
        let files = ["analysis.json", "analysis/analysis.json"].map { folder.appendingPathComponent($0) }
        guard let file = files.first(where: { FileManager.default.fileExists(atPath: $0.path) }) else {
            throw Failure.badInput("--against: \(path) holds no analysis.json; run `unimed analyze` on it first")
        }
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "Infinity",
            negativeInfinity: "-Infinity",
            nan: "NaN"
        )
        do {
            return try decoder.decode(AnalysisFile.self, from: Data(contentsOf: file))
        } catch {
            throw Failure.badInput("--against: \(file.path) cannot be read as an analysis: \(oneLine(error))")
        }
    }
}

/// Two or more models' tug-of-war at the sets of parameters that all of them have.
struct AnalysisComparison {
    /// The models, the analysed one first.
    let files: [AnalysisFile]

    /// A set of parameters with its indexes in each model, and the tasks they are of.
    struct Shared {
        let name: String
        let tasks: [String]
        /// Of each model.
        let indexes: [TugOfWarIndexes]
    }

    /// The names of the models, told apart where they are alike.
    var names: [String] {
        files.enumerated().map { place, file in
            files.count { $0.model == file.model } == 1 ? file.model : "\(file.model) (\(place + 1))"
        }
    }

    var shared: [Shared] {
        guard let first = files.first, files.count > 1 else { return [] }
        return first.interference.compactMap { set in
            let sets = files.compactMap { file in file.interference.first { $0.name == set.name } }
            let tasks = set.tasks.filter { task in sets.allSatisfy { $0.tasks.contains(task) } }
            guard sets.count == files.count, tasks.count > 1 else { return nil }
            let indexes = sets.map { set in
                TugOfWarIndexes(
                    tasks.map { task in
                        guard let place = set.tasks.firstIndex(of: task) else { return .nan }
                        return set.standardIndexes?.values[place] ?? .nan
                    }
                )
            }
            return Shared(name: set.name, tasks: tasks, indexes: indexes)
        }
    }

    /// The indexes side by side, the directions of the other models, and the parameters' statistics.
    var figures: [AnalysisPage.Figure] {
        let batches = zip(names, files).map { "\($0) \($1.batches) of \($1.batchSize)" }.joined(separator: ", ")
        var figures = shared.flatMap { set in
            [
                AnalysisPage.Figure(
                    "comparison \(set.name) indexes",
                    BarChart(
                        title: "Tug-of-war indexes at \(set.name), models side by side",
                        valueLabel: "Index, divided by the model's largest (without unit)",
                        categories: set.tasks,
                        series: zip(names, set.indexes).map { name, indexes in
                            .init(
                                name: String(format: "%@, %.3f ± %.3f", name, indexes.mean, indexes.standardDeviation),
                                bars: indexes.maxNormalized.map { .init(value: $0) }
                            )
                        }
                    ),
                    "In the legend mean and standard deviation over tasks: high and even is good. Batches of each task: "
                        + batches + "."
                ),
                AnalysisPage.Figure(
                    "comparison \(set.name) raw indexes",
                    BarChart(
                        title: "Tug-of-war indexes at \(set.name) as they are, models side by side",
                        valueLabel: "Index (without unit)",
                        categories: set.tasks,
                        series: zip(names, set.indexes).map { name, indexes in
                            .init(name: name, bars: indexes.values.map { .init(value: $0) })
                        }
                    ),
                    "Sums over the tasks of direction times magnitude; 1 is a task by itself. Batches of each task: "
                        + batches + "."
                ),
            ]
        }
        for (name, file) in zip(names, files).dropFirst() {
            for set in file.interference where shared.contains(where: { $0.name == set.name }) {
                guard let direction = set.direction[DirectionReading.meanOfRatios.rawValue] else { continue }
                figures.append(
                    AnalysisPage.Figure(
                        "comparison \(set.name) direction \(name)",
                        HeatMap(
                            title: "Gradient direction interference at \(set.name), \(name)",
                            rows: set.tasks,
                            columns: set.tasks,
                            values: direction,
                            valueLabel: "GD, share of a task's own progress"
                        ),
                        "The model that is compared. Rows: whose loss; columns: by a step for whom. Batches: "
                            + zip(set.tasks, set.batches).map { "\($0) n = \($1)" }.joined(separator: ", ") + "."
                    )
                )
            }
        }
        for set in shared {
            let statistics = zip(names, files).compactMap { name, file in
                file.statistics.first { $0.name == set.name && $0.scored > 0 }.map { (name: name, statistics: $0) }
            }
            guard statistics.count == files.count else { continue }
            figures.append(
                AnalysisPage.statisticsFigure(
                    "comparison \(set.name) statistics",
                    "scores at \(set.name), models side by side",
                    .absolute,
                    statistics
                )
            )
        }
        return figures
    }
}
