import UniMedData

/// Made-up samples, one a task.
enum Samples {
    static let image = ImageReference(path: "images/a.png", width: 200, height: 100)

    static func sample(
        _ task: MedicalTask,
        id: String = "1",
        dataset: String = "phantoms",
        split: Split = .test,
        answer: String? = nil
    ) -> Sample {
        var sample = Sample(id: id, dataset: dataset, split: split, task: task, answer: answer ?? "Left lung")
        if task.usesImage { sample.image = image }
        switch task {
        case .questionAnswering:
            sample.question = "Does it grow?"
            sample.choices = ["yes", "no", "maybe"]
            sample.answer = answer ?? "maybe"
        case .visualQuestionAnswering:
            sample.question = "Which organ is shown?"
            sample.questionKind = "organ"
            sample.choices = ["Left lung", "Liver"]
        case .reportGeneration:
            sample.answer = answer ?? "A round mass in the left lung. No effusion, no other finding at all."
        case .referringExpressionComprehension:
            sample.objectName = "Liver"
            // Edges that hundredths of the image meet exactly.
            sample.box = BoundingBox(xMin: 20, yMin: 25, xMax: 100, yMax: 75)
            sample.answer = ""
        case .referringExpressionGeneration:
            sample.objectName = "Left lung"
            sample.box = BoundingBox(xMin: 20, yMin: 25, xMax: 100, yMax: 75)
        case .imageClassification:
            sample.choices = ["Left lung", "Liver", "Spleen"]
        }
        return sample
    }
}
