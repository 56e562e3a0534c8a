import Foundation
import UniMedData

/// Axial computed tomography of the torso in a soft-tissue window, at the level of the liver or of the heart.
///
/// Supine patients lie with their right side at the left of the picture and the spine below; prone ones are turned by
/// half a turn.
enum CTTorsoPhantom: PhantomPainter {
    static func background(_ generator: inout SeededGenerator) -> PhantomColor { PhantomColor(repeating: 6) }

    static func paint(on canvas: PhantomCanvas, _ generator: inout SeededGenerator) -> PhantomScene {
        var frame = PhantomFrame.random(
            side: canvas.side,
            width: 0.9,
            height: 0.68,
            zoom: 0.78...1.08,
            tilt: 0.16,
            overhang: 0.12,
            generator: &generator
        )
        let isProne = generator.chance(0.12)
        if isProne { frame = frame.turned(side: canvas.side) }
        // The table is below the patient in the picture, whichever way the patient lies.
        let table = isProne ? -0.74 : 0.74
        let curve = frame.stroke((-0.95, table * 0.93), bend: (0, table * 1.1), (0.95, table * 0.93), width: 0.02)
        canvas.draw(curve, Paint(gray: 95))
        let isChest = generator.chance(0.4)
        var scene =
            isChest ? chest(canvas, frame, &generator) : abdomen(canvas, frame, &generator)
        scene.details["position"] = isProne ? "prone" : "supine"
        return scene
    }

    // MARK: - Common parts

    private static func wall(_ canvas: PhantomCanvas, _ frame: PhantomFrame, _ generator: inout SeededGenerator) {
        let fat = generator.number(0.02...0.09)
        let body = frame.blob(0, 0, 0.9, 0.66).wobbled(0.02, &generator)
        canvas.draw(body, Paint(gray: 110))
        canvas.draw(body.grown(-0.022 * frame.scale), Paint(gray: 58).grain(8, frequency: 30))
        canvas.draw(frame.blob(0, 0, 0.86 - fat, 0.62 - fat), Paint(gray: 120).soft(2).grain(8, frequency: 34))
        for side in [-1.0, 1.0] {
            canvas.draw(
                frame.blob(side * 0.19, 0.43, 0.16, 0.1, degrees: side * -10),
                Paint(gray: 126).soft(2).grain(7, frequency: 40)
            )
        }
    }

    private static func ribs(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        radiusX: Double,
        radiusY: Double,
        _ generator: inout SeededGenerator
    ) {
        let shift = generator.number(-12...12)
        for degrees in stride(from: -150.0, through: 180, by: 30) where abs(degrees - 90) > 35 && abs(degrees + 90) > 20
        {
            let angle = (degrees + shift) * Double.pi / 180
            let x = radiusX * PhantomMath.cosine(angle)
            let y = radiusY * PhantomMath.sine(angle)
            let rib = frame.blob(x, y, 0.058, 0.021, degrees: degrees + shift + 90)
            canvas.draw(rib, Paint(gray: 222).depth(PhantomColor(repeating: 165), pixels: 3))
        }
    }

    private static func spine(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        y: Double,
        _ generator: inout SeededGenerator
    ) {
        let bone = Paint(gray: 232).depth(PhantomColor(repeating: 178), pixels: 4).grain(14, frequency: 60)
        for side in [-1.0, 1.0] {
            canvas.draw(
                frame.stroke(
                    (side * 0.07, y + 0.1),
                    bend: (side * 0.14, y + 0.1),
                    (side * 0.23, y + 0.15),
                    width: 0.045,
                    endWidth: 0.03
                ),
                bone
            )
        }
        canvas.draw(frame.blob(0, y + 0.22, 0.03, 0.09), bone)
        canvas.draw(frame.blob(0, y + 0.125, 0.095, 0.075), bone)
        let vertebra = frame.blob(0, y, 0.15, 0.112).harmonic(2, cosine: 0.04).wobbled(0.02, &generator)
        canvas.draw(vertebra, bone, name: "vertebra")
        canvas.draw(frame.blob(0, y + 0.125, 0.06, 0.045), Paint(gray: 100).soft(1.5))
    }

    private static func aorta(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        x: Double,
        y: Double,
        radius: Double,
        _ generator: inout SeededGenerator
    ) {
        let paint = Paint(gray: 202).grain(5, frequency: 30)
        canvas.draw(frame.blob(x, y, radius, radius * generator.number(0.92...1.08)), paint, name: "aorta")
        if generator.chance(0.3) {
            canvas.draw(frame.blob(x - radius * 0.8, y, 0.012, 0.025), Paint(gray: 250))
        }
    }

    private static func questions(region: String) -> [PhantomQuestion] {
        [
            PhantomQuestion(.modality, "Which imaging modality is this?", "CT"),
            PhantomQuestion(.region, "Which part of the body is shown?", region),
            PhantomQuestion(.plane, "In which plane is this image?", "axial"),
        ]
    }

    // MARK: - Abdomen

    private static func abdomen(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ generator: inout SeededGenerator
    ) -> PhantomScene {
        wall(canvas, frame, &generator)
        ribs(canvas, frame, radiusX: 0.755, radiusY: 0.515, &generator)
        let cavity = frame.blob(0, -0.03, 0.71, 0.46)
        canvas.draw(cavity, Paint(gray: 66).soft(2).grain(10, frequency: 26))
        bowel(canvas, frame, cavity, &generator)
        stomach(canvas, frame, cavity, &generator)
        let liver = liver(canvas, frame, cavity, &generator)

        let spleenLevel = 158 + generator.number(-8...8)
        let spleen = frame.blob(
            0.53 + generator.number(-0.03...0.03),
            0.06 + generator.number(-0.04...0.04),
            0.135,
            0.23 * generator.number(0.85...1.15),
            degrees: -18
        ).harmonic(1, cosine: 0.05).wobbled(0.05, &generator)
        let inside = Cutout(base: spleen, within: cavity)
        canvas.draw(inside, Paint(gray: spleenLevel).soft(1.5).grain(6, frequency: 26), name: "spleen")

        for (name, side) in [("right kidney", -1.0), ("left kidney", 1.0)] {
            kidney(canvas, frame, name: name, side: side, &generator)
        }
        spine(canvas, frame, y: 0.3, &generator)
        canvas.draw(
            frame.blob(-0.11, 0.13, 0.062, generator.number(0.04...0.055)),
            Paint(gray: 152).soft(1.5).grain(5, frequency: 30)
        )
        aorta(canvas, frame, x: 0.06, y: 0.12, radius: 0.062, &generator)
        canvas.addNoise(4, frequency: 14)

        let wanted = generator.chance(0.5) ? generator.integer(in: 1...3) : 0
        let isDark = generator.chance(0.7)
        let count = lesions(canvas, frame, liver, count: wanted, isDark: isDark, &generator)
        return abdomenScene(count: count, isDark: isDark, &generator)
    }

    private static func bowel(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ cavity: Blob,
        _ generator: inout SeededGenerator
    ) {
        for _ in 0..<generator.integer(in: 5...8) {
            let x = generator.number(-0.15...0.5)
            let y = generator.number(-0.36...0.14)
            let loop = frame.blob(x, y, generator.number(0.06...0.1), generator.number(0.05...0.08))
                .wobbled(0.12, &generator)
            let level = generator.number(92...118)
            let paint = Paint(gray: 134).depth(PhantomColor(repeating: Float(level)), pixels: 4).grain(8, frequency: 50)
            canvas.draw(Cutout(base: loop, within: cavity), paint)
            if generator.chance(0.3) {
                canvas.draw(frame.blob(x, y - 0.015, 0.035, 0.025).wobbled(0.1, &generator), Paint(gray: 10).soft(1.5))
            }
        }
    }

    private static func stomach(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ cavity: Blob,
        _ generator: inout SeededGenerator
    ) {
        let x = 0.27 + generator.number(-0.04...0.04)
        let y = -0.22 + generator.number(-0.03...0.03)
        let wall = frame.blob(x, y, 0.23, 0.135, degrees: 28).wobbled(0.06, &generator)
        canvas.draw(Cutout(base: wall, within: cavity), Paint(gray: 138).soft(1.5))
        let content = wall.grown(-0.022 * frame.scale)
        canvas.draw(Cutout(base: content, within: cavity), Paint(gray: 96).grain(9, frequency: 46))
        if generator.chance(0.6) {
            let gas = frame.blob(x - 0.03, y - 0.075, 0.16, 0.07, degrees: 8)
            canvas.draw(Cutout(base: gas, within: content), Paint(gray: 8).soft(1.5))
        }
    }

    private static func liver(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ cavity: Blob,
        _ generator: inout SeededGenerator
    ) -> Blob {
        let size = generator.number(0.9...1.08)
        let liver = frame.blob(-0.36, -0.06 + generator.number(-0.03...0.03), 0.35 * size, 0.33 * size, degrees: -12)
            .harmonic(1, cosine: -0.04).harmonic(3, cosine: 0.05, sine: -0.03).wobbled(0.05, &generator)
        let shape = Cutout(base: liver, within: cavity)
        let level = 146 + generator.number(-8...8)
        canvas.draw(shape, Paint(gray: level).soft(1.5).grain(6, frequency: 24), name: "liver")
        for _ in 0..<7 {
            let x = -0.36 + generator.number(-0.18...0.2)
            let y = -0.05 + generator.number(-0.2...0.18)
            let vessel = frame.stroke(
                (x, y),
                bend: (x + generator.number(-0.05...0.05), y + generator.number(-0.05...0.05)),
                (x + generator.number(-0.1...0.1), y + generator.number(-0.1...0.1)),
                width: 0.026,
                endWidth: 0.01
            )
            let inside = Cutout(base: vessel, within: liver.grown(-0.03 * frame.scale))
            canvas.draw(inside, Paint(gray: level + 26).soft(2).opacity(0.8))
        }
        return liver
    }

    private static func kidney(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        name: String,
        side: Double,
        _ generator: inout SeededGenerator
    ) {
        let x = side * (0.34 + generator.number(-0.02...0.03))
        let y = 0.24 + generator.number(-0.03...0.03)
        let kidney = frame.blob(x, y, 0.135, 0.17, degrees: side * -14).harmonic(1, cosine: side * 0.1)
            .harmonic(2, cosine: -0.07).harmonic(3, cosine: side * -0.06).wobbled(0.02, &generator)
        let fat = kidney.grown(0.03 * frame.scale)
        canvas.draw(fat, Paint(gray: 60).soft(2.5))
        let cortex = Paint(gray: 206).depth(PhantomColor(repeating: 172), pixels: 0.05 * frame.scale)
        canvas.draw(kidney, cortex.grain(5, frequency: 40), name: name)
        canvas.draw(frame.blob(x - side * 0.075, y, 0.045, 0.06), Paint(gray: 84).soft(3).grain(10, frequency: 50))
    }

    /// Draws lesions as far as the liver has room for them, at least one where any is wanted.
    private static func lesions(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ liver: Blob,
        count: Int,
        isDark: Bool,
        _ generator: inout SeededGenerator
    ) -> Int {
        var placed: [(x: Double, y: Double, radius: Double)] = []
        for _ in 0..<400 where placed.count < count {
            let radius = generator.number(count > 1 ? 0.085...0.11 : 0.09...0.15)
            let x = -0.38 + generator.number(-0.26...0.24)
            let y = -0.06 + generator.number(-0.26...0.16)
            let point = frame.point(x, y)
            guard liver.grown(-radius * 0.8 * frame.scale).distance(point.x, point.y) < 0 else { continue }
            let isClear = placed.allSatisfy { other in
                let (dx, dy) = (x - other.x, y - other.y)
                return (dx * dx + dy * dy).squareRoot() > radius + other.radius + 0.03
            }
            if isClear { placed.append((x, y, radius)) }
        }
        if placed.isEmpty && count > 0 { placed.append((-0.38, -0.06, 0.1)) }
        for spot in placed {
            let shape = frame.blob(spot.x, spot.y, spot.radius, spot.radius * generator.number(0.85...1.1))
                .wobbled(0.07, &generator)
            let paint =
                isDark
                ? Paint(gray: 92).depth(PhantomColor(repeating: 78), pixels: 4)
                : Paint(gray: 214).depth(PhantomColor(repeating: 228), pixels: 4)
            canvas.draw(shape, paint.soft(2).grain(6, frequency: 40), name: "liver lesion")
        }
        return placed.count
    }

    private static func abdomenScene(
        count: Int,
        isDark: Bool,
        _ generator: inout SeededGenerator
    ) -> PhantomScene {
        let attenuation = isDark ? "hypodense" : "hyperdense"
        var report = "Axial CT of the abdomen. "
        var questions = Self.questions(region: "abdomen")
        questions.append(.presence("Is there a lesion in the liver?", count > 0))
        if count > 0 {
            let noun = count == 1 ? "lesion is" : "lesions are"
            let number = count == 1 ? "A single" : PhantomScene.word(count).capitalized
            report += "\(number) \(attenuation) \(noun) seen in the liver. The spleen and kidneys are unremarkable."
            questions.append(PhantomQuestion(.count, "How many lesions are in the liver?", String(count)))
        } else {
            report += "No focal liver lesion is seen. The spleen and kidneys are unremarkable."
        }
        return PhantomScene(
            modality: "CT",
            region: "abdomen",
            plane: "axial",
            finding: count > 0 ? .liverLesion : .normalAbdomen,
            details: count > 0 ? ["attenuation": attenuation, "count": String(count)] : [:],
            questions: questions,
            report: report,
            noise: generator.number(3...6)
        )
    }

    // MARK: - Chest

    private static func chest(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ generator: inout SeededGenerator
    ) -> PhantomScene {
        wall(canvas, frame, &generator)
        ribs(canvas, frame, radiusX: 0.745, radiusY: 0.51, &generator)
        let heart = frame.blob(
            0.11,
            -0.14 + generator.number(-0.02...0.02),
            0.27 * generator.number(0.9...1.1),
            0.21,
            degrees: 34
        ).wobbled(0.05, &generator)
        let mediastinum = frame.blob(0, -0.06, 0.15, 0.42)
        canvas.draw(mediastinum.grown(0.05 * frame.scale), Paint(gray: 84).soft(2).grain(8, frequency: 30))
        let lungs = [-1.0, 1.0].map { side in
            frame.blob(
                side * 0.39,
                -0.02,
                (side < 0 ? 0.3 : 0.29) * generator.number(0.94...1.04),
                0.41 * generator.number(0.94...1.03),
                degrees: side * 8
            ).harmonic(3, cosine: side * 0.05, sine: 0.03).wobbled(0.03, &generator)
        }
        for (index, lung) in lungs.enumerated() {
            let side = index == 0 ? -1.0 : 1.0
            let shape = Cutout(base: lung, without: [heart.grown(0.02 * frame.scale), mediastinum])
            let paint = Paint(gray: 24).soft(1.5).grain(6, frequency: 44)
            canvas.draw(shape, paint, name: index == 0 ? "right lung" : "left lung")
            for _ in 0..<14 {
                vessel(canvas, frame, lung, [heart, mediastinum], side: side, &generator)
            }
        }
        let blood = Paint(gray: 150).soft(1.5).grain(6, frequency: 24)
        canvas.draw(heart, blood.depth(PhantomColor(repeating: 186), pixels: 0.1 * frame.scale), name: "heart")
        spine(canvas, frame, y: 0.34, &generator)
        aorta(canvas, frame, x: 0.13, y: 0.18, radius: 0.07, &generator)
        canvas.draw(frame.blob(0, -0.53, 0.1, 0.026), Paint(gray: 215).depth(PhantomColor(repeating: 165), pixels: 3))
        canvas.addNoise(4, frequency: 14)

        let finding = generator.pick([PhantomFinding.normalChest, .lungMass, .pleuralEffusion])
        let isRight = generator.chance(0.5)
        let side = isRight ? -1.0 : 1.0
        let lung = lungs[isRight ? 0 : 1]
        if finding == .lungMass {
            let radius = generator.number(0.1...0.16)
            let mass = frame.blob(
                side * (0.43 + generator.number(-0.04...0.05)),
                generator.number(-0.2...0.14),
                radius,
                radius * generator.number(0.85...1.15)
            ).wobbled(0.1, &generator)
            let paint = Paint(gray: 142).soft(1.5).ragged(2.2, frequency: 46).grain(7, frequency: 40)
            canvas.draw(mass, paint, name: "lung mass")
        } else if finding == .pleuralEffusion {
            let fluid = frame.blob(side * 0.45, 0.36, 0.42, 0.26, degrees: side * -26).wobbled(0.03, &generator)
            let shape = Cutout(base: fluid, within: lung.grown(1))
            canvas.draw(shape, Paint(gray: 108).soft(1.5).grain(5, frequency: 30), name: "pleural effusion")
        }
        var questions = Self.questions(region: "chest")
        ChestFindings.ask(finding, isRight: isRight, &questions, &generator)
        return PhantomScene(
            modality: "CT",
            region: "chest",
            plane: "axial",
            finding: finding,
            details: finding == .normalChest ? [:] : ["side": isRight ? "right" : "left"],
            questions: questions,
            report: "Axial CT of the chest. " + ChestFindings.report(finding, isRight: isRight),
            noise: generator.number(3...6)
        )
    }

    private static func vessel(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ lung: Blob,
        _ middle: [Blob],
        side: Double,
        _ generator: inout SeededGenerator
    ) {
        let x = side * generator.number(0.16...0.42)
        let y = generator.number(-0.22...0.2)
        let endX = x + side * generator.number(0.05...0.24)
        let endY = y * generator.number(1.1...1.7)
        let vessel = frame.stroke(
            (x, y),
            bend: ((x + endX) / 2, (y + endY) / 2 + generator.number(-0.04...0.04)),
            (endX, endY),
            width: generator.number(0.014...0.03),
            endWidth: 0.006
        )
        canvas.draw(
            Cutout(base: vessel, within: lung.grown(-2), without: middle),
            Paint(gray: 104).soft(1.5).opacity(0.85)
        )
    }
}

/// What tomography and radiography of the chest share: questions and sentences on its findings.
enum ChestFindings {
    static func ask(
        _ finding: PhantomFinding,
        isRight: Bool,
        _ questions: inout [PhantomQuestion],
        _ generator: inout SeededGenerator
    ) {
        // Asking mostly after what is there keeps "yes" and "no" equally frequent.
        let isMassAsked: Bool
        switch finding {
        case .lungMass: isMassAsked = generator.chance(0.75)
        case .pleuralEffusion: isMassAsked = generator.chance(0.25)
        default: isMassAsked = generator.chance(0.5)
        }
        if isMassAsked {
            questions.append(.presence("Is there a mass in the lung?", finding == .lungMass))
        } else {
            questions.append(.presence("Is there a pleural effusion?", finding == .pleuralEffusion))
        }
        if finding != .normalChest {
            questions.append(
                PhantomQuestion(
                    .side,
                    "Which lung is affected?",
                    isRight ? "right" : "left",
                    choices: ["left", "right"]
                )
            )
        }
    }

    static func report(_ finding: PhantomFinding, isRight: Bool) -> String {
        let side = isRight ? "right" : "left"
        return switch finding {
        case .lungMass: "A lung mass is seen in the \(side) lung. There is no pleural effusion."
        case .pleuralEffusion: "There is a \(side) pleural effusion. No lung mass is seen."
        default: "Both lungs are clear. There is no pleural effusion."
        }
    }
}
