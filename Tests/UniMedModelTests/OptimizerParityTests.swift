import Foundation
import Testing
import Torch
import TorchNN
import UniMedTesting

/// A trajectory of an `optim` case.
struct OptimizerCase: Sendable, CustomStringConvertible {
    struct Record: Decodable, Sendable {
        let file: String
        let betas: [Double]
        let epsilon: Double
        let weightDecay: Double
        let clipping: Double?
        let decaying: [String]
        let notDecaying: [String]
        let rates: [Double]
        let norms: [Double]
        let withoutGradient: [[String]]?
        let stepCounts: [String: Int]

        enum CodingKeys: String, CodingKey {
            case file, betas
            case epsilon = "eps"
            case weightDecay = "weight_decay"
            case clipping = "clip_max_norm"
            case decaying = "decay_group"
            case notDecaying = "no_decay_group"
            case rates = "lr"
            case norms = "grad_total_norm_before_clipping"
            case withoutGradient = "parameters_without_gradient_per_step"
            case stepCounts = "final_step_counter"
        }
    }

    struct Schedule: Decodable, Sendable {
        let peak: Double
        let lowest: Double
        let warmupStart: Double
        let warmupSteps: Int
        let stepsPerEpoch: Int
        let epochCount: Int

        enum CodingKeys: String, CodingKey {
            case peak = "init_lr"
            case lowest = "min_lr"
            case warmupStart = "warmup_start_lr"
            case warmupSteps = "warmup_steps"
            case stepsPerEpoch = "iters_per_epoch"
            case epochCount = "max_epoch"
        }
    }

    struct Manifest: Decodable {
        struct Configuration: Decodable {
            let steps: Int
            let schedule: Schedule
        }

        let config: Configuration
        let runs: [String: Record]
    }

    let golden: GoldenCase
    let name: String
    let steps: Int
    let schedule: Schedule
    let record: Record

    var description: String { name }

    static let all: [OptimizerCase] = GoldenCase.named("optim").flatMap { golden -> [OptimizerCase] in
        guard let manifest = try? golden.decode(Manifest.self) else { return [] }
        return manifest.runs.sorted { $0.key < $1.key }.map { name, record in
            OptimizerCase(
                golden: golden,
                name: name,
                steps: manifest.config.steps,
                schedule: manifest.config.schedule,
                record: record
            )
        }
    }
}

/// A schedule of `schedules.json`.
struct ScheduleCase: Decodable, Sendable, CustomStringConvertible {
    let kind: String
    let rows: [[Double]]
    let factor: Double?
    let numbers: OptimizerCase.Schedule

    enum CodingKeys: String, CodingKey {
        case kind
        case rows = "rows_epoch_step_lr"
        case factor = "decay_rate"
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        kind = try container.decode(String.self, forKey: .kind)
        rows = try container.decode([[Double]].self, forKey: .rows)
        factor = try container.decodeIfPresent(Double.self, forKey: .factor)
        numbers = try OptimizerCase.Schedule(from: decoder)
    }

    var description: String { "\(kind), \(numbers.epochCount) x \(numbers.stepsPerEpoch) steps" }

    private struct File: Decodable {
        let schedules: [ScheduleCase]
    }

    static let all: [ScheduleCase] = GoldenCase.named("optim").flatMap { golden in
        (try? golden.decode(File.self, from: "schedules.json").schedules) ?? []
    }
}

@Suite("Parity: optimizer and schedules")
struct OptimizerParityTests {
    @Test(
        .enabled(if: !OptimizerCase.all.isEmpty, "there is no optim case under UNIMED_GOLDEN"),
        arguments: OptimizerCase.all
    )
    func `AdamW follows the published trajectory`(item: OptimizerCase) throws {
        let (record, golden) = (item.record, try item.golden.tensors(item.record.file))
        let names = golden.names.filter { $0.hasPrefix("init.") }.map { String($0.dropFirst("init.".count)) }
        let parameters = try names.map { name in
            (name: name, parameter: try Parameter(golden("init." + name).clone()))
        }
        for (name, parameter) in parameters {
            let decays = AdamW.decays(name: name, rank: parameter.value.rank)
            #expect((decays ? record.decaying : record.notDecaying).contains(name))
        }
        let optimizer = try AdamW(
            parameters,
            AdamWConfiguration(
                beta1: record.betas[0],
                beta2: record.betas[1],
                epsilon: record.epsilon,
                weightDecay: record.weightDecay
            )
        )
        let schedule = LearningRateSchedule(
            peak: item.schedule.peak,
            lowest: item.schedule.lowest,
            warmupStart: item.schedule.warmupStart,
            warmupSteps: item.schedule.warmupSteps,
            totalSteps: item.schedule.stepsPerEpoch * item.schedule.epochCount
        )
        let comparison = Comparison(item.golden, "\(item.golden.name) \(item.name)")
        for step in 0..<item.steps {
            try optimizer.clearGradients()
            let absent = record.withoutGradient?[step] ?? []
            for (name, parameter) in parameters where !absent.contains(name) {
                try parameter.value.setGradient(golden("grad." + name).select(0, step).clone())
            }
            let rate = schedule.rate(at: step)
            #expect(abs(rate - record.rates[step]) <= 1e-12 * rate)
            let norm: Double
            if let clipping = record.clipping {
                norm = try optimizer.clipGradients(to: clipping).item()
            } else {
                norm = try optimizer.gradientNorm().item()
            }
            // A sum of some seventy squares in float32.
            #expect(abs(norm - record.norms[step]) <= 1e-6 * norm)
            try optimizer.step(learningRate: rate)
            for (name, parameter) in parameters {
                try comparison.close(
                    parameter.value.detach(),
                    golden("param." + name).select(0, step),
                    "\(name) after step \(step)",
                    group: "param"
                )
            }
        }
        for (name, tensor) in optimizer.state() {
            let parts = name.split(separator: ".")
            let (owner, kind) = (parts.dropLast().joined(separator: "."), String(parts.last ?? ""))
            if kind == "step" {
                #expect(try Int(tensor.item()) == record.stepCounts[owner])
            } else {
                try comparison.close(tensor, golden("\(kind).\(owner)"), name, group: kind)
            }
        }
        print(comparison.summary)
    }

    @Test(
        .enabled(if: !ScheduleCase.all.isEmpty, "there is no optim case under UNIMED_GOLDEN"),
        arguments: ScheduleCase.all
    )
    func `learning rates are the published schedulers'`(item: ScheduleCase) throws {
        let decay: PublishedLearningRateSchedule.Decay? =
            switch item.kind {
            case "linear_warmup_cosine_lr": .cosine
            case "linear_warmup_step_lr": .stepwise(factor: try #require(item.factor))
            default: nil
            }
        let schedule = PublishedLearningRateSchedule(
            decay: try #require(decay, "an unknown kind of schedule: \(item.kind)"),
            peak: item.numbers.peak,
            lowest: item.numbers.lowest,
            warmupStart: item.numbers.warmupStart,
            warmupSteps: item.numbers.warmupSteps,
            stepsPerEpoch: item.numbers.stepsPerEpoch,
            epochCount: item.numbers.epochCount
        )
        let plain = LearningRateSchedule(
            peak: item.numbers.peak,
            lowest: item.numbers.lowest,
            warmupStart: item.numbers.warmupStart,
            warmupSteps: item.numbers.warmupSteps,
            totalSteps: item.numbers.stepsPerEpoch * item.numbers.epochCount
        )
        for row in item.rows {
            let (epoch, step, expected) = (Int(row[0]), Int(row[1]), row[2])
            // Both sides compute in double precision.
            let rate = schedule.rate(epoch: epoch, step: step)
            #expect(abs(rate - expected) <= 1e-12 * expected, "epoch \(epoch), step \(step)")
            if decay == .cosine, item.numbers.warmupSteps <= item.numbers.stepsPerEpoch {
                #expect(plain.rate(at: epoch * item.numbers.stepsPerEpoch + step) == rate)
            }
        }
    }
}
