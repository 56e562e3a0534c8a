import Foundation
import TorchNN
import UniMedData
import UniMedEvaluation
import UniMedImaging
import UniMedMetrics
import UniMedModel
import UniMedReports
import UniMedTraining

/// The report page of an evaluation.
struct EvaluationPage {
    let checkpoint: ModelCheckpoint
    let data: PreparedData
    let result: EvaluationResult
    let summary: EvaluationFile
    let metrics: [TrainingMetrics]

    /// The number of samples of each data set and task that are shown.
    private static let cardCount = 4

    func page() throws -> ReportPage {
        ReportPage(
            title: "Uni-Med: \(checkpoint.configuration.name)",
            facts: facts,
            losses: losses,
            table: result.table,
            samples: try cards(),
            routing: result.routing.map { UniMedReports.RoutingSummary(task: $0.task, weights: $0.meanWeights) },
            notes: [
                "Boxes: blue is the reference, orange the model's answer. The trivial baseline knows the training "
                    + "answers and not the picture: the most frequent answer of each kind of question, the mean box, "
                    + "the best constant report. Of a volume the slices that the model sees are shown, with the boxes on "
                    + "those that they span."
            ]
        )
    }

    private var facts: [ReportFact] {
        let model = checkpoint.model
        var facts = [
            ReportFact("Recipe", checkpoint.configuration.name),
            ReportFact("Weights", "\(model.parameterCount())"),
            ReportFact("Training steps", "\(checkpoint.configuration.steps)"),
            ReportFact("Samples evaluated", "\(summary.samples) (\(summary.split))"),
            ReportFact("Evaluation time", String(format: "%.0f s on %@", summary.seconds, summary.device)),
        ]
        if let last = metrics.last {
            facts.insert(ReportFact("Training time", String(format: "%.1f min", last.elapsedSeconds / 60)), at: 3)
        }
        return facts
    }

    private var losses: [LossCurve] {
        guard !metrics.isEmpty else { return [] }
        let all = LossCurve(name: "all tasks", steps: metrics.map(\.step), losses: metrics.map(\.loss))
        return [all]
            + MedicalTask.allCases.compactMap { task in
                let points = metrics.compactMap { line in line.taskLosses[task.rawValue].map { (line.step, $0) } }
                guard !points.isEmpty else { return nil }
                return LossCurve(name: task.rawValue, task: task, steps: points.map(\.0), losses: points.map(\.1))
            }
    }

    /// The first samples of every data set and task, in the order of the data: not chosen by how well they went.
    private func cards() throws -> [SampleCard] {
        var samples: [String: Sample] = [:]
        for sample in data.samples { samples["\(sample.dataset)/\(sample.id)"] = sample }
        var counts: [EvaluationTable.Key: Int] = [:]
        var cards: [SampleCard] = []
        for prediction in result.predictions {
            let key = EvaluationTable.Key(dataset: prediction.dataset, task: prediction.task)
            guard counts[key, default: 0] < Self.cardCount,
                let sample = samples["\(prediction.dataset)/\(prediction.id)"]
            else { continue }
            counts[key, default: 0] += 1
            cards.append(try card(prediction, sample))
        }
        let order = MedicalTask.allCases
        return cards.enumerated().sorted {
            (order.firstIndex(of: $0.element.task) ?? 0, $0.offset) < (
                order.firstIndex(of: $1.element.task) ?? 0, $1.offset
            )
        }.map(\.element)
    }

    private func card(_ prediction: PredictionRecord, _ sample: Sample) throws -> SampleCard {
        var picture: SampleCard.Picture?
        var predictedBox: BoundingBox?
        var referenceBox = sample.box
        let selection = checkpoint.configuration.model.volume?.selection ?? SliceSelection(count: 16)
        if let image = sample.image, let volume = image.volume,
            var sheet = VolumeSheet(sample, in: data, selection: selection)
        {
            // A sheet has its boxes on it: an outline over the whole would mean nothing.
            referenceBox = nil
            if let box = sample.box3D { sheet.draw(box, of: image, color: VolumeSheet.annotated) }
            if sample.task == .referringExpressionComprehension,
                let box = NormalizedBox3D(parsing: prediction.prediction)
            {
                let voxels = box.voxels(width: image.width, height: image.height, slices: volume.slices)
                sheet.draw(voxels, of: image, color: .prediction)
            }
            picture = try sheet.picture()
        } else if let image = sample.image, let position = data.images.position(of: sample) {
            let size = data.images.size
            let pixels = data.images.withPixels(at: position) { [UInt8]($0) }
            let png = try PNGEncoder.encode(RGBImage(width: size, height: size, pixels: pixels))
            picture = SampleCard.Picture(png: Data(png), width: image.width, height: image.height)
            if sample.task == .referringExpressionComprehension {
                predictedBox = NormalizedBox(parsing: prediction.prediction)?
                    .pixels(width: image.width, height: image.height)
            }
        }
        return SampleCard(
            dataset: prediction.dataset,
            task: prediction.task,
            picture: picture,
            question: prediction.instruction,
            answer: prediction.prediction,
            reference: prediction.reference,
            predictedBox: predictedBox,
            referenceBox: referenceBox,
            scores: Metric.allCases.compactMap { metric in
                prediction.scores[metric].map { ReportFact(metric.title, String(format: "%.2f", $0)) }
            }
        )
    }
}
