import UniMedData

/// A frontal radiograph of the chest; dense structures are bright, and all that lies in the beam adds up.
enum ChestXRayPhantom: PhantomPainter {
    static func background(_ generator: inout SeededGenerator) -> PhantomColor { PhantomColor(repeating: 10) }

    static func paint(on canvas: PhantomCanvas, _ generator: inout SeededGenerator) -> PhantomScene {
        let frame = PhantomFrame.random(
            side: canvas.side,
            width: 0.96,
            height: 0.98,
            zoom: 0.74...1.1,
            tilt: 0.12,
            overhang: 0.14,
            generator: &generator
        )
        body(canvas, frame, &generator)
        let heart = frame.blob(
            0.11,
            0.24 + generator.number(-0.03...0.03),
            0.3 * generator.number(0.82...1.12),
            0.235,
            degrees: 24
        ).harmonic(1, cosine: 0.05).wobbled(0.03, &generator)
        let domes = [
            frame.blob(-0.4, 1.33 + generator.number(-0.04...0.04), 0.5, 0.92),
            frame.blob(0.42, 1.38 + generator.number(-0.04...0.04), 0.48, 0.92),
        ]
        let lungs = [-1.0, 1.0].map { side in
            frame.blob(side * 0.375, 0.0, 0.275 * generator.number(0.94...1.06), 0.6, degrees: side * -5)
                .harmonic(1, sine: 0.09).harmonic(3, sine: -0.04).wobbled(0.02, &generator)
        }
        let column = frame.blob(0.01, -0.1, 0.115, 0.9)
        for (index, lung) in lungs.enumerated() {
            let shape = Cutout(base: lung, without: [heart, column, domes[index]])
            let paint = Paint(gray: 52).soft(3).grain(9, frequency: 26)
            canvas.draw(shape, paint, name: index == 0 ? "right lung" : "left lung")
        }
        middle(canvas, frame, heart, &generator)
        for (index, dome) in domes.enumerated() {
            canvas.draw(
                dome,
                Paint(gray: index == 0 ? 170 : 160).soft(2.5).opacity(0.9).grain(6, frequency: 12)
            )
        }
        if generator.chance(0.7) {
            canvas.draw(frame.blob(0.4, 0.62, 0.13, 0.07).wobbled(0.08, &generator), Paint(gray: 84).soft(5))
        }
        markings(canvas, frame, lungs, &generator)

        let finding = generator.pick([PhantomFinding.normalChest, .lungMass, .pleuralEffusion])
        let isRight = generator.chance(0.5)
        draw(finding, canvas, frame, lungs[isRight ? 0 : 1], domes[isRight ? 0 : 1], isRight: isRight, &generator)
        bones(canvas, frame, &generator)
        canvas.addNoise(6, frequency: 5)
        canvas.draw(frame.outside(0, 0.02, 0.97, 0.98), Paint(gray: 8).soft(2))
        canvas.vignette(generator.number(0...0.3))
        if generator.chance(0.5) {
            // The technologist's letter at the patient's left.
            let corner = frame.point(0.76, -0.86)
            let height = Float(0.1 * frame.scale)
            let points = [
                corner, SIMD2(corner.x, corner.y + height), SIMD2(corner.x + height * 0.6, corner.y + height),
            ]
            canvas.draw(Stroke(points: points, width: 0.03 * frame.scale), Paint(gray: 245))
        }
        var questions = [
            PhantomQuestion(.modality, "Which imaging modality is this?", "X-ray"),
            PhantomQuestion(.region, "Which part of the body is shown?", "chest"),
            PhantomQuestion(.plane, "In which plane is this image?", "frontal"),
        ]
        ChestFindings.ask(finding, isRight: isRight, &questions, &generator)
        return PhantomScene(
            modality: "X-ray",
            region: "chest",
            plane: "frontal",
            finding: finding,
            details: finding == .normalChest ? [:] : ["side": isRight ? "right" : "left"],
            questions: questions,
            report: "Frontal chest X-ray. " + ChestFindings.report(finding, isRight: isRight),
            noise: generator.number(2...5)
        )
    }

    private static func body(_ canvas: PhantomCanvas, _ frame: PhantomFrame, _ generator: inout SeededGenerator) {
        let tissue = Paint(gray: 118).soft(3).grain(8, frequency: 9)
        canvas.draw(frame.blob(0, -1.05, 0.22, 0.6), tissue)
        for side in [-1.0, 1.0] {
            canvas.draw(frame.blob(side * 1.0, 0.15, 0.15, 0.8, degrees: side * -6), tissue)
            canvas.draw(frame.blob(side * 0.66, -0.48, 0.38, 0.34), tissue)
        }
        canvas.draw(frame.blob(0, 0.5, 0.83, 1.3).harmonic(4, cosine: -0.075).wobbled(0.01, &generator), tissue)
    }

    private static func middle(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ heart: Blob,
        _ generator: inout SeededGenerator
    ) {
        canvas.draw(frame.blob(0.01, -0.1, 0.125, 0.9), Paint(gray: 146).soft(5).opacity(0.85))
        canvas.draw(frame.blob(0.12, -0.22, 0.085, 0.09), Paint(gray: 160).soft(4).opacity(0.8))
        canvas.draw(frame.blob(0, -0.6, 0.045, 0.32), Paint(gray: 92).soft(4).opacity(0.7))
        canvas.draw(heart, Paint(gray: 178).soft(3).grain(6, frequency: 10), name: "heart")
        for step in 0..<13 {
            let y = -0.86 + 0.13 * Double(step)
            canvas.draw(frame.blob(0.01, y, 0.07, 0.045), Paint(gray: 12).mode(.add).soft(3))
        }
    }

    private static func markings(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ lungs: [Blob],
        _ generator: inout SeededGenerator
    ) {
        for (index, lung) in lungs.enumerated() {
            let side = index == 0 ? -1.0 : 1.0
            canvas.draw(frame.blob(side * 0.17, 0.02, 0.06, 0.1), Paint(gray: 38).mode(.add).soft(8))
            for _ in 0..<11 {
                let endX = side * generator.number(0.3...0.58)
                let endY = generator.number(-0.42...0.42)
                let vessel = frame.stroke(
                    (side * 0.16, generator.number(-0.05...0.08)),
                    bend: (side * 0.28, endY * 0.4),
                    (endX, endY),
                    width: 0.03,
                    endWidth: 0.008
                )
                canvas.draw(Cutout(base: vessel, within: lung.grown(-2)), Paint(gray: 20).mode(.add).soft(3))
            }
        }
    }

    private static func draw(
        _ finding: PhantomFinding,
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ lung: Blob,
        _ dome: Blob,
        isRight: Bool,
        _ generator: inout SeededGenerator
    ) {
        let side = isRight ? -1.0 : 1.0
        if finding == .lungMass {
            let radius = generator.number(0.095...0.15)
            let mass = frame.blob(
                side * (0.4 + generator.number(-0.05...0.06)),
                generator.number(-0.34...0.1),
                radius,
                radius * generator.number(0.85...1.15)
            ).wobbled(0.08, &generator)
            canvas.draw(mass, Paint(gray: 176).soft(3).opacity(0.92).grain(6, frequency: 30), name: "lung mass")
        } else if finding == .pleuralEffusion {
            // Fluid stands higher at the chest wall than in the middle.
            let level = generator.number(0.02...0.2)
            let fluid = frame.blob(side * 0.5, level + 0.5, 0.44, 0.5, degrees: side * -24)
            let shape = Cutout(base: fluid, within: lung.grown(1), without: [dome])
            let paint = Paint(gray: 182).soft(3).opacity(0.95).grain(5, frequency: 14)
            canvas.draw(shape, paint, name: "pleural effusion")
        }
    }

    private static func bones(_ canvas: PhantomCanvas, _ frame: PhantomFrame, _ generator: inout SeededGenerator) {
        let strength = generator.number(13...24)
        for side in [-1.0, 1.0] {
            for index in 0..<8 {
                let y = -0.66 + 0.15 * Double(index)
                let reach = 0.5 + 0.2 * PhantomMath.sine(Double(index + 1) / 8 * 2.2)
                let rib = frame.stroke(
                    (side * 0.07, y),
                    bend: (side * reach * 0.75, y - 0.12),
                    (side * reach, y + 0.27),
                    width: 0.055
                )
                canvas.draw(rib, Paint(gray: strength).mode(.add).soft(2))
            }
            let clavicle = frame.stroke(
                (side * 0.08, -0.58),
                bend: (side * 0.3, -0.74),
                (side * 0.66, -0.72),
                width: 0.075,
                endWidth: 0.055
            )
            canvas.draw(clavicle, Paint(gray: 36).mode(.add).soft(2))
            let arm = frame.stroke((side * 0.84, -0.52), bend: (side * 0.96, -0.1), (side * 1.0, 0.6), width: 0.09)
            canvas.draw(arm, Paint(gray: 34).mode(.add).soft(2))
            let scapula = frame.blob(side * 0.76, -0.34, 0.1, 0.26, degrees: side * 14)
            canvas.draw(scapula, Paint(gray: 22).mode(.add).soft(4))
        }
    }
}
