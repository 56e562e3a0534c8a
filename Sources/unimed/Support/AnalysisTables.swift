import Foundation
import UniMedAnalysis
import UniMedData

/// The tables of an analysis as CSV files, one line for each number's place.
struct AnalysisTables {
    let file: AnalysisFile
    let comparison: AnalysisComparison

    /// Writes the tables that have lines.
    func write(to folder: URL) throws {
        for (name, header, rows) in tables where !rows.isEmpty {
            let text = ([header] + rows).map { $0.map(Self.field).joined(separator: ",") }.joined(separator: "\n")
            try AtomicFile.write(Data((text + "\n").utf8), to: folder.appendingPathComponent(name + ".csv"))
        }
    }

    private var tables: [(name: String, header: [String], rows: [[String]])] {
        [
            (
                "interference", ["set", "step", "task", "other", "quantity", "reading", "value"],
                (file.interference + file.exactInterference).flatMap(interference)
            ),
            (
                "indexes", ["set", "step", "task", "readings", "index", "max_normalized"],
                (file.interference + file.exactInterference).flatMap(indexes)
            ),
            ("comparison", ["set", "task", "model", "index", "max_normalized"], compared),
            (
                "statistics", ["set", "reading", "form", "bin_from", "bin_to", "ratio", "parameters"],
                file.statistics.flatMap(statistics)
            ),
            ("routing", ["by", "name", "images", "expert", "mean_weight", "load", "entropy"], routing),
            ("routing_grid", ["task", "expert", "row", "column", "weight"], grid),
            ("routing_over_time", ["step", "task", "expert", "mean_weight"], overTime),
            ("ablation", ["group", "samples", "removed_expert", "loss"], ablation),
            ("ablation_scores", ["dataset", "task", "metric", "samples", "removed_expert", "score"], scores),
            (
                "features",
                ["place", "task", "dataset", "modality", "tsne_1", "tsne_2", "tsne_3", "pc_1", "pc_2", "pc_3"],
                file.featureMaps.flatMap(features)
            ),
            ("saliency", ["dataset", "sample", "task", "row", "column", "share"], file.attributions.flatMap(saliency)),
        ]
    }

    private var compared: [[String]] {
        comparison.shared.flatMap { set in
            zip(comparison.names, set.indexes).flatMap { model, indexes in
                set.tasks.enumerated().map { place, task in
                    [set.name, task, model, number(indexes.values[place]), number(indexes.maxNormalized[place])]
                }
            }
        }
    }

    private static func field(_ text: String) -> String {
        guard text.contains(where: { ",\"\n\r".contains($0) }) else { return text }
        return "\"" + text.replacingOccurrences(of: "\"", with: "\"\"") + "\""
    }

    private func number(_ value: Double) -> String { value.isFinite ? "\(value)" : "" }

    private func step(_ readings: AnalysisFile.Readings) -> String {
        switch readings.step {
        case .firstOrder: "first order"
        case .exact(let length): "exact \(length)"
        }
    }

    private func interference(_ set: AnalysisFile.Readings) -> [[String]] {
        [("GD", set.direction), ("GM", set.magnitude)].flatMap { quantity, readings in
            readings.sorted { $0.key < $1.key }.flatMap { reading, matrix in
                matrix.enumerated().flatMap { i, row in
                    row.enumerated().map { j, value in
                        [set.name, step(set), set.tasks[i], set.tasks[j], quantity, reading, number(value)]
                    }
                }
            }
        }
    }

    private func indexes(_ set: AnalysisFile.Readings) -> [[String]] {
        set.indexes.sorted { $0.key < $1.key }.flatMap { readings, indexes in
            set.tasks.enumerated().map { index, task in
                [
                    set.name, step(set), task, readings, number(indexes.values[index]),
                    number(indexes.maxNormalized[index]),
                ]
            }
        }
    }

    private func statistics(_ set: AnalysisFile.Statistics) -> [[String]] {
        ParameterStatistics.Form.allCases.flatMap { form in
            let edges = ParameterStatistics.edges(form)
            return (set.ratios[form.rawValue] ?? []).enumerated().map { bin, ratio in
                [
                    set.name, set.reading.rawValue, form.rawValue, number(edges[bin]), number(edges[bin + 1]),
                    number(ratio), "\(set.scored)",
                ]
            }
        }
    }

    private var routing: [[String]] {
        guard let routing = file.routing else { return [] }
        return [("task", routing.tasks), ("dataset", routing.datasets), ("modality", routing.modalities)].flatMap {
            kind,
            summaries in
            summaries.flatMap { summary in
                summary.meanWeights.indices.map { expert in
                    [
                        kind, summary.name, "\(summary.images)", "\(expert + 1)", number(summary.meanWeights[expert]),
                        number(summary.load[expert]), number(summary.entropy),
                    ]
                }
            }
        }
    }

    private var grid: [[String]] {
        (file.routing?.tasks ?? []).flatMap { summary in
            summary.grid.enumerated().flatMap { expert, rows in
                rows.enumerated().flatMap { row, values in
                    values.enumerated().map { column, value in
                        [summary.name, "\(expert + 1)", "\(row + 1)", "\(column + 1)", number(value)]
                    }
                }
            }
        }
    }

    private var overTime: [[String]] {
        file.routingOverTime.flatMap { moment in
            moment.tasks.flatMap { summary in
                summary.meanWeights.enumerated().map { expert, weight in
                    ["\(moment.step)", summary.name, "\(expert + 1)", number(weight)]
                }
            }
        }
    }

    private var ablation: [[String]] {
        file.ablation.flatMap { group in
            ([group.loss] + group.lossesWithout).enumerated().map { removed, loss in
                [group.group, "\(group.samples)", removed == 0 ? "none" : "\(removed)", number(loss)]
            }
        }
    }

    private var scores: [[String]] {
        file.scoreAblation.flatMap { part in
            ([part.score] + part.scoresWithout).enumerated().map { removed, score in
                [
                    part.dataset, part.task.rawValue, part.metric, "\(part.samples)",
                    removed == 0 ? "none" : "\(removed)", number(score),
                ]
            }
        }
    }

    private func features(_ map: ModelAnalysis.FeatureMap) -> [[String]] {
        map.tasks.indices.map { index in
            // A plane has no third coordinate.
            let coordinates = [map.embedding[index], map.components[index]].flatMap { point in
                (0..<3).map { point.indices.contains($0) ? number(point[$0]) : "" }
            }
            return [map.place, map.tasks[index].rawValue, map.datasets[index], map.modalities[index]] + coordinates
        }
    }

    private func saliency(_ attribution: ModelAnalysis.Attribution) -> [[String]] {
        attribution.saliency.enumerated().flatMap { row, values in
            values.enumerated().map { column, value in
                [
                    attribution.dataset, attribution.sample, attribution.task.rawValue, "\(row + 1)", "\(column + 1)",
                    number(value),
                ]
            }
        }
    }
}
