import UniMedData

/// A stained blood smear under the microscope: red cells, white cells of three normal types or blasts, platelets.
enum BloodSmearPhantom: PhantomPainter {
    private enum WhiteCell: String, CaseIterable {
        case neutrophil
        case lymphocyte
        case eosinophil
        case blast

        static let normal: [WhiteCell] = [.neutrophil, .lymphocyte, .eosinophil]
    }

    private struct Place {
        var x: Double
        var y: Double
        var radius: Double

        func isClear(of others: [Place], gap: Double) -> Bool {
            others.allSatisfy { other in
                let (dx, dy) = (x - other.x, y - other.y)
                return (dx * dx + dy * dy).squareRoot() > radius + other.radius + gap
            }
        }
    }

    static func background(_ generator: inout SeededGenerator) -> PhantomColor {
        generator.pick([[240, 228, 222], [236, 230, 232], [244, 234, 214]])
    }

    static func paint(on canvas: PhantomCanvas, _ generator: inout SeededGenerator) -> PhantomScene {
        canvas.addNoise(4, frequency: 6)
        let frame = PhantomFrame(side: canvas.side, x: 0, y: 0, zoom: 1, angle: 0)
        let zoom = generator.number(0.9...1.12)
        let isLeukemia = generator.chance(0.5)
        let whiteCount = isLeukemia ? generator.integer(in: 3...5) : generator.integer(in: 1...3)
        let plateletCount = generator.chance(0.5) ? 0 : generator.integer(in: 1...2)

        // Cells are placed from large to small; small ones give way.
        var places: [Place] = []
        for _ in 0..<whiteCount {
            places.append(place(radius: zoom * (isLeukemia ? 0.25 : 0.26), gap: 0.03, places, &generator))
        }
        let whites = places
        var platelets: [Place] = []
        for _ in 0..<plateletCount {
            let spot = place(radius: zoom * 0.11, gap: 0.02, places, &generator)
            platelets.append(spot)
            places.append(spot)
        }
        var reds: [Place] = []
        let redCount = generator.integer(in: 9...16)
        for _ in 0..<90 where reds.count < redCount {
            let radius = zoom * generator.number(0.155...0.18)
            let spot = Place(x: generator.number(-1...1), y: generator.number(-1...1), radius: radius)
            if spot.isClear(of: places, gap: -0.02) && spot.isClear(of: reds, gap: -0.05) { reds.append(spot) }
        }
        let stain = generator.number(-12...12)
        for spot in reds { redCell(canvas, frame, spot, stain, &generator) }
        var types: [WhiteCell] = []
        for (index, spot) in whites.enumerated() {
            let type = isLeukemia ? .blast : index == 0 ? generator.pick(WhiteCell.normal) : other(types, &generator)
            types.append(type)
            whiteCell(canvas, frame, spot, type, &generator)
        }
        for spot in platelets { platelet(canvas, frame, spot, &generator) }
        canvas.vignette(generator.number(0...0.25))
        return scene(types, plateletCount: plateletCount, isLeukemia: isLeukemia, &generator)
    }

    private static func scene(
        _ types: [WhiteCell],
        plateletCount: Int,
        isLeukemia: Bool,
        _ generator: inout SeededGenerator
    ) -> PhantomScene {
        var questions = [
            PhantomQuestion(.modality, "Which imaging modality is this?", "microscopy"),
            PhantomQuestion(.region, "Which part of the body is shown?", "blood"),
            PhantomQuestion(.count, "How many white blood cells are there?", String(types.count)),
            .presence("Is there a platelet?", plateletCount > 0),
        ]
        if types.count == 1 || isLeukemia && generator.chance(0.35) {
            questions.append(
                PhantomQuestion(
                    .cellType,
                    "What type of white blood cell is shown?",
                    types[0].rawValue,
                    choices: WhiteCell.allCases.map(\.rawValue)
                )
            )
        }
        let number = PhantomScene.word(types.count)
        let platelets = plateletCount > 0 ? "Platelets are present." : "No platelets are seen."
        let report: String
        if isLeukemia {
            report = "Blood smear with \(number) blasts, in keeping with leukemia. \(platelets)"
        } else {
            let noun = types.count == 1 ? "cell" : "cells"
            report = "Normal blood smear with \(number) white blood \(noun). \(platelets)"
        }
        return PhantomScene(
            modality: "microscopy",
            region: "blood",
            plane: nil,
            finding: isLeukemia ? .leukemia : .normalBlood,
            details: ["count": String(types.count)],
            questions: questions,
            report: report,
            noise: generator.number(2...4),
            isGray: false
        )
    }

    /// A free place inside the picture; the gap is given up step by step when the picture is full.
    private static func place(
        radius: Double,
        gap: Double,
        _ places: [Place],
        _ generator: inout SeededGenerator
    ) -> Place {
        let limit = 1 - radius - 0.01
        var gap = gap
        while true {
            for _ in 0..<80 {
                let x = generator.number(-limit...limit)
                let spot = Place(x: x, y: generator.number(-limit...limit), radius: radius)
                if spot.isClear(of: places, gap: gap) { return spot }
            }
            gap -= 0.04
        }
    }

    private static func other(_ types: [WhiteCell], _ generator: inout SeededGenerator) -> WhiteCell {
        let rest = WhiteCell.normal.filter { !types.contains($0) }
        return generator.pick(rest.isEmpty ? WhiteCell.normal : rest)
    }

    private static func redCell(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ spot: Place,
        _ stain: Double,
        _ generator: inout SeededGenerator
    ) {
        let cell = frame.blob(
            spot.x,
            spot.y,
            spot.radius,
            spot.radius * generator.number(0.86...1),
            degrees: generator.number(0...180)
        ).wobbled(0.03, &generator)
        let shade = Float(stain + generator.number(-8...8))
        let rim = PhantomColor(214 + shade * 0.5, 142 + shade, 140 + shade)
        let pallor = PhantomColor(238, 200 + shade * 0.5, 192 + shade * 0.5)
        canvas.draw(cell.grown(1), Paint(rim * 0.9).soft(1.5))
        let paint = Paint(rim).soft(1.5).depth(pallor, pixels: spot.radius * frame.scale * 2.2)
        canvas.draw(cell, paint.grain(4, frequency: 30), name: "red blood cell")
        let middle = cell.grown(-spot.radius * frame.scale * generator.number(0.5...0.62))
        canvas.draw(middle, Paint(pallor).soft(spot.radius * frame.scale * 0.5).opacity(0.85))
    }

    private static func whiteCell(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ spot: Place,
        _ type: WhiteCell,
        _ generator: inout SeededGenerator
    ) {
        let radius = spot.radius * (type == .lymphocyte ? 0.86 : 1)
        let cell = frame.blob(spot.x, spot.y, radius, radius * generator.number(0.9...1)).wobbled(0.04, &generator)
        let turn = generator.number(0...6.283)
        let nucleus = Paint([98, 52, 140]).soft(1.8).grain(16, frequency: 44)
        func lobe(_ angle: Double, _ distance: Double, _ size: Double) -> Blob {
            let (x, y) = (PhantomMath.cosine(turn + angle), PhantomMath.sine(turn + angle))
            return frame.blob(
                spot.x + x * distance * radius,
                spot.y + y * distance * radius,
                size * radius,
                size * radius
            )
        }
        switch type {
        case .lymphocyte:
            canvas.draw(cell, Paint([176, 196, 232]).soft(1.5), name: "white blood cell")
            canvas.draw(lobe(0, 0.08, 0.8).wobbled(0.04, &generator), nucleus)
        case .neutrophil:
            canvas.draw(cell, Paint([232, 214, 226]).soft(1.5).grain(9, frequency: 60), name: "white blood cell")
            let lobes = (0..<4).map { lobe(Double($0) * 1.25, 0.5, 0.29).wobbled(0.06, &generator) }
            let bridges = (0..<3).map { lobe(Double($0) * 1.25 + 0.62, 0.5, 0.14) }
            canvas.draw(BlobUnion(blobs: lobes + bridges), nucleus)
        case .eosinophil:
            canvas.draw(cell, Paint([240, 190, 160]).soft(1.5), name: "white blood cell")
            for _ in 0..<46 {
                let grain = lobe(generator.number(0...6.283), 0.88 * generator.uniform().squareRoot(), 0.085)
                canvas.draw(grain, Paint([232, 112, 58]).soft(1.5).opacity(0.85))
            }
            let lobes = [lobe(0, 0.42, 0.4), lobe(3.14, 0.42, 0.4), lobe(0, 0, 0.16)]
            canvas.draw(BlobUnion(blobs: lobes), nucleus)
        case .blast:
            canvas.draw(cell, Paint([150, 160, 218]).soft(1.5), name: "white blood cell")
            let pale = Paint([134, 84, 168]).soft(2).grain(12, frequency: 40)
            canvas.draw(lobe(0, 0.06, 0.86).wobbled(0.05, &generator), pale)
            for index in 0..<generator.integer(in: 1...3) {
                let nucleolus = lobe(Double(index) * 2.1 + 0.5, generator.number(0.15...0.45), 0.15)
                canvas.draw(nucleolus, Paint([170, 126, 198]).soft(3).opacity(0.8))
            }
        }
    }

    private static func platelet(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ spot: Place,
        _ generator: inout SeededGenerator
    ) {
        let body = frame.blob(spot.x, spot.y, spot.radius, spot.radius * generator.number(0.8...1))
            .wobbled(0.14, &generator)
        canvas.draw(body, Paint([178, 140, 200]).soft(2).grain(14, frequency: 70), name: "platelet")
        for _ in 0..<7 {
            let x = spot.x + spot.radius * generator.number(-0.5...0.5)
            let y = spot.y + spot.radius * generator.number(-0.5...0.5)
            canvas.draw(frame.blob(x, y, 0.018, 0.018), Paint([118, 62, 150]).soft(1.8))
        }
    }
}
