import Testing
import UniMedData
import UniMedEvaluation

@Suite("Model request")
struct ModelRequestTests {
    private let image = ImageReference(path: "", width: 200, height: 100)

    @Test func `a question in words is asked as it is`() throws {
        let question = "Which organ is this?"
        #expect(try ModelRequest(task: .questionAnswering, text: question).instruction() == question)
        #expect(
            try ModelRequest(task: .visualQuestionAnswering, text: question, image: image).instruction() == question
        )
        #expect(try ModelRequest(task: .reportGeneration, text: "Findings?", image: image).instruction() == "Findings?")
        #expect(try ModelRequest(task: .imageClassification, text: question, image: image).instruction() == question)
    }

    @Test func `names, boxes and classes are put into a template`() throws {
        let comprehension = ModelRequest(task: .referringExpressionComprehension, text: "Spleen", image: image)
        #expect(try comprehension.instruction().lowercased().contains("spleen"))
        let box = BoundingBox(xMin: 20, yMin: 10, xMax: 100, yMax: 50)
        let generation = ModelRequest(task: .referringExpressionGeneration, image: image, box: box)
        #expect(try generation.instruction().contains("{<10><10><50><50>}"))
        let classes = ModelRequest(task: .imageClassification, image: image, choices: ["nevus", "melanoma"])
        #expect(try classes.instruction().contains("nevus or melanoma"))
        #expect(try !ModelRequest(task: .reportGeneration, image: image).instruction().isEmpty)
        #expect(try !comprehension.instruction().contains("[refer]"))
    }

    @Test func `what is missing or too much is named`() throws {
        let box = BoundingBox(xMin: 20, yMin: 10, xMax: 100, yMax: 50)
        let outside = BoundingBox(xMin: 20, yMin: 10, xMax: 300, yMax: 50)
        let empty = BoundingBox(xMin: 20, yMin: 10, xMax: 20, yMax: 50)
        let requests: [(ModelRequest, String)] = [
            (ModelRequest(task: .questionAnswering), "question"),
            (ModelRequest(task: .questionAnswering, text: " "), "question"),
            (ModelRequest(task: .questionAnswering, text: "Why?", image: image), "image"),
            (ModelRequest(task: .visualQuestionAnswering, text: "Why?"), "image"),
            (ModelRequest(task: .visualQuestionAnswering, image: image), "question"),
            (ModelRequest(task: .visualQuestionAnswering, text: "Why?", image: image, box: box), "box"),
            (ModelRequest(task: .referringExpressionComprehension, image: image), "question"),
            (ModelRequest(task: .referringExpressionGeneration, image: image), "box"),
            (ModelRequest(task: .referringExpressionGeneration, image: image, box: outside), "box"),
            (ModelRequest(task: .referringExpressionGeneration, image: image, box: empty), "box"),
            (ModelRequest(task: .imageClassification, image: image), "question"),
        ]
        for (request, expected) in requests {
            let error = #expect(throws: EvaluationError.self) { try request.instruction() }
            guard case .invalidOption(let field, _, _) = error else {
                Issue.record("\(request): \(String(describing: error))")
                continue
            }
            #expect(field == expected)
        }
    }
}
