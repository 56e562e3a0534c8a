public import Foundation
public import UniMedData

/// A labelled value of a report's summary, for example the recipe's name.
public struct ReportFact: Sendable, Equatable {
    /// What it is.
    public var label: String
    /// The value, with its unit.
    public var value: String

    /// Makes a fact.
    public init(_ label: String, _ value: String) {
        self.label = label
        self.value = value
    }
}

/// The training loss of a task, or of all, over the steps.
public struct LossCurve: Sendable, Equatable {
    /// The name in the legend.
    public var name: String
    /// The task; `nil` for the mean of all.
    public var task: MedicalTask?
    /// The steps of the optimizer, rising.
    public var steps: [Int]
    /// The loss at each step, in nats per target token.
    public var losses: [Double]

    /// Makes a curve.
    public init(name: String, task: MedicalTask? = nil, steps: [Int], losses: [Double]) {
        self.name = name
        self.task = task
        self.steps = steps
        self.losses = losses
    }
}

/// One sample in a report: its picture, what was asked and answered, and what is true.
public struct SampleCard: Sendable, Equatable {
    /// A picture with its size in the coordinates of the boxes.
    public struct Picture: Sendable, Equatable {
        /// The bytes of a PNG file.
        public var png: Data
        /// The width of the original image, in pixels; the file may be smaller.
        public var width: Int
        /// The height of the original image, in pixels; the file may be smaller.
        public var height: Int

        /// Makes a picture.
        public init(png: Data, width: Int, height: Int) {
            self.png = png
            self.width = width
            self.height = height
        }
    }

    /// The data set's name.
    public var dataset: String
    /// The task.
    public var task: MedicalTask
    /// The picture; `nil` for question answering.
    public var picture: Picture?
    /// What was asked, without the task's tag.
    public var question: String
    /// What the model answered.
    public var answer: String
    /// The reference answer.
    public var reference: String
    /// The box the model answered, in pixels of the original image.
    public var predictedBox: BoundingBox?
    /// The annotated box, in pixels of the original image.
    public var referenceBox: BoundingBox?
    /// How the answer scored, for example `BLEU-1` and `0.50`.
    public var scores: [ReportFact]

    /// Makes a card.
    public init(
        dataset: String,
        task: MedicalTask,
        picture: Picture? = nil,
        question: String,
        answer: String,
        reference: String,
        predictedBox: BoundingBox? = nil,
        referenceBox: BoundingBox? = nil,
        scores: [ReportFact] = []
    ) {
        self.dataset = dataset
        self.task = task
        self.picture = picture
        self.question = question
        self.answer = answer
        self.reference = reference
        self.predictedBox = predictedBox
        self.referenceBox = referenceBox
        self.scores = scores
    }
}

/// How a router distributes a task's image tokens over the projection experts.
public struct RoutingSummary: Sendable, Equatable {
    /// The task.
    public var task: MedicalTask
    /// The mean weight of each expert; they sum to 1.
    public var weights: [Double]

    /// Makes a summary.
    public init(task: MedicalTask, weights: [Double]) {
        self.task = task
        self.weights = weights
    }
}

/// A plot of a report with what is said about it.
public struct ReportFigure: Sendable {
    /// The plot; its title stands above it.
    public var plot: any Plot
    /// What the reader should know, below the plot.
    public var caption: String

    /// Makes a figure.
    public init(plot: any Plot, caption: String) {
        self.plot = plot
        self.caption = caption
    }
}
