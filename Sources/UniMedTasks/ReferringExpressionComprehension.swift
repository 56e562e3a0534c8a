public import UniMedData
public import UniMedMetrics

/// Referring expression comprehension, where a named object is: short code `rec`, prompt tag `[refer]`.
///
/// The pool is that of Slake-REC and SA-Med2D-REC. The answer is a box in hundredths of the image. Scored by the
/// intersection over union and whether it reaches one half, by the published code (one pixel added, above 0.5) and by the
/// paper (ratio of areas, at least 0.5). An answer without a box, or with an empty one, scores 0.
///
/// In a volume the box has two numbers more, the range of slices in hundredths of all slices, and the same metrics compare
/// volumes instead of areas.
public struct ReferringExpressionComprehension: TaskDefinition {
    /// Which task this is.
    public let task = MedicalTask.referringExpressionComprehension
    /// The metric that stands for the task.
    public let primaryMetric = Metric.intersectionOverUnion
    /// All metrics a sample may be scored by, the primary one first.
    public let metrics: [Metric] = [
        .intersectionOverUnion, .recallAboveHalf, .paperIntersectionOverUnion, .paperRecallAtHalf,
    ]
    /// Where the box is looked for in an answer.
    public let search: NormalizedBox.Search

    /// The ways of asking (Uni-Med, appendix C).
    public var templates: TemplatePools { Self.pools }

    private static let pools = TemplatePools(
        standard: [
            "{Name}.",
            "Give me the location of {name}.",
            "Where is {name}?",
            "From this image, tell me the location of {name}.",
            "The location of {name} is",
            "Could you tell me the location for {name}?",
            "Where can I locate the {name}?",
        ]
    )

    /// Makes the task.
    ///
    /// - Parameter search: Where the box is looked for in an answer; `.publishedCode` takes only an answer that begins
    ///   with a box in braces.
    public init(search: NormalizedBox.Search = .anywhere) {
        self.search = search
    }

    /// What the model shall answer: the annotated box.
    ///
    /// - Throws: ``TaskError`` when the sample lacks its box or the box is not one of its image.
    public func target(for sample: Sample) throws(TaskError) -> String {
        try sample.boxText()
    }

    /// The box in an answer.
    public func parse(_ answer: String, for sample: Sample) -> ParsedAnswer {
        if sample.image?.volume != nil {
            return NormalizedBox3D(parsing: answer, search: search).map { .box3D($0) } ?? .unparsable
        }
        return NormalizedBox(parsing: answer, search: search).map { .box($0) } ?? .unparsable
    }

    /// How well a model's answer agrees with the reference.
    ///
    /// - Parameters:
    ///   - prediction: The model's answer, as it came.
    ///   - sample: The sample with its reference.
    /// - Returns: Every metric of the task that applies to the sample.
    /// - Throws: ``TaskError`` when the sample lacks its reference.
    public func score(prediction: String, for sample: Sample) throws(TaskError) -> SampleScore {
        let (reference, image) = try sample.annotatedBox()
        var published = 0.0
        var ratio = 0.0
        let parsed = parse(prediction, for: sample)
        if let (reference, image, slices) = try sample.annotatedBox3D() {
            if case .box3D(let box) = parsed {
                let voxels = box.voxels(width: image.width, height: image.height, slices: slices)
                published = overlap(of: voxels, with: reference, .inclusivePixels)
                ratio = overlap(of: voxels, with: reference, .continuous)
            }
        } else if case .box(let box) = parsed {
            let pixels = box.pixels(width: image.width, height: image.height)
            published = overlap(of: pixels, with: reference.throughSinglePrecision, .inclusivePixels)
            ratio = overlap(of: pixels, with: reference, .continuous)
        }
        return SampleScore(
            primary: primaryMetric,
            values: [
                .intersectionOverUnion: published,
                .recallAboveHalf: RecallAtHalf.above.isHit(published) ? 1 : 0,
                .paperIntersectionOverUnion: ratio,
                .paperRecallAtHalf: RecallAtHalf.atLeast.isHit(ratio) ? 1 : 0,
            ],
            isParsed: parsed != .unparsable
        )
    }

    /// The reference has an area, so only the predicted box can be empty: it overlaps nothing.
    private func overlap(
        of prediction: BoundingBox,
        with reference: BoundingBox,
        _ extent: BoundingBox.Extent
    ) -> Double {
        do {
            return try prediction.intersectionOverUnion(with: reference, extent: extent)
        } catch {
            return 0
        }
    }

    private func overlap(
        of prediction: BoundingBox3D,
        with reference: BoundingBox3D,
        _ extent: BoundingBox.Extent
    ) -> Double {
        do {
            return try prediction.intersectionOverUnion(with: reference, extent: extent)
        } catch {
            return 0
        }
    }
}
