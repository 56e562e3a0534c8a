import UniMedData

/// A dermoscopic picture of one skin lesion: a nevus, a melanoma or a hemangioma.
enum DermoscopyPhantom: PhantomPainter {
    /// A lesion's colour: its name, and the level from rim to middle.
    private struct Pigment {
        let name: String
        let rim: PhantomColor
        let middle: PhantomColor

        static let tan = Pigment(name: "tan", rim: [205, 160, 118], middle: [178, 126, 82])
        static let brown = Pigment(name: "brown", rim: [140, 88, 56], middle: [98, 56, 34])
        static let black = Pigment(name: "black", rim: [66, 48, 44], middle: [28, 20, 22])
        static let blue = Pigment(name: "blue", rim: [92, 112, 150], middle: [58, 78, 128])
        static let red = Pigment(name: "red", rim: [208, 82, 74], middle: [186, 40, 44])
        static let purple = Pigment(name: "purple", rim: [146, 82, 134], middle: [108, 46, 104])
    }

    private static let tones: [PhantomColor] = [
        [236, 200, 182], [228, 186, 162], [215, 170, 145], [196, 150, 124], [240, 208, 196],
    ]

    static func background(_ generator: inout SeededGenerator) -> PhantomColor { generator.pick(tones) }

    static func paint(on canvas: PhantomCanvas, _ generator: inout SeededGenerator) -> PhantomScene {
        canvas.addNoise(9, frequency: 4, share: [0.6, 1, 1])
        canvas.addNoise(6, frequency: 40)
        let finding = generator.pick([PhantomFinding.nevus, .melanoma, .hemangioma])
        let radius = generator.number(0.26...0.5)
        let frame = PhantomFrame.random(
            side: canvas.side,
            width: radius * 1.15,
            height: radius * 1.15,
            zoom: 1...1,
            tilt: 3.14,
            overhang: 0,
            generator: &generator
        )
        let pigment: Pigment
        switch finding {
        case .nevus:
            pigment = generator.pick([.tan, .brown, .blue, .brown])
            nevus(canvas, frame, radius, pigment, &generator)
        case .melanoma:
            pigment = generator.pick([.black, .brown, .black])
            melanoma(canvas, frame, radius, pigment, &generator)
        default:
            pigment = generator.pick([.red, .purple])
            hemangioma(canvas, frame, radius, pigment, &generator)
        }
        let hasPatch = generator.chance(0.5)
        if hasPatch { patch(canvas, frame, radius, &generator) }
        canvas.vignette(generator.number(0.1...0.7))
        let hasHair = generator.chance(0.5)
        if hasHair { hairs(canvas, &generator) }
        return scene(finding, pigment, hasHair: hasHair, hasPatch: hasPatch, &generator)
    }

    private static func scene(
        _ finding: PhantomFinding,
        _ pigment: Pigment,
        hasHair: Bool,
        hasPatch: Bool,
        _ generator: inout SeededGenerator
    ) -> PhantomScene {
        let border = finding == .melanoma ? "irregular" : "regular"
        var questions = [
            PhantomQuestion(.modality, "Which imaging modality is this?", "dermoscopy"),
            PhantomQuestion(.region, "Which part of the body is shown?", "skin"),
            PhantomQuestion(.color, "What is the main color of the lesion?", pigment.name),
        ]
        // Hemangiomas are left out here, so that both answers are equally frequent.
        if finding != .hemangioma {
            questions.append(
                PhantomQuestion(
                    .border,
                    "Is the border of the lesion regular or irregular?",
                    border,
                    choices: ["regular", "irregular"]
                )
            )
        }
        if generator.chance(0.5) {
            questions.append(.presence("Are hairs visible on the skin?", hasHair))
        } else {
            questions.append(.presence("Is a color patch visible beside the lesion?", hasPatch))
        }
        let article = finding == .nevus || finding == .melanoma || finding == .hemangioma ? "A" : "An"
        let hair = hasHair ? "Hairs are visible." : "No hairs are visible."
        return PhantomScene(
            modality: "dermoscopy",
            region: "skin",
            plane: nil,
            finding: finding,
            details: ["color": pigment.name, "border": border],
            questions: questions,
            report:
                "Dermoscopy of the skin. \(article) \(pigment.name) \(finding.rawValue) with \(border) border is seen. "
                + hair,
            noise: generator.number(2...4),
            isGray: false
        )
    }

    private static func nevus(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ radius: Double,
        _ pigment: Pigment,
        _ generator: inout SeededGenerator
    ) {
        let shape = frame.blob(0, 0, radius, radius * generator.number(0.8...1)).wobbled(0.03, &generator)
        let paint = Paint(pigment.rim).soft(5).depth(pigment.middle, pixels: radius * frame.scale * 0.8)
        canvas.draw(shape, paint.grain(9, frequency: 26), name: "nevus")
        let dots = generator.integer(in: 12...26)
        for _ in 0..<dots {
            let angle = generator.number(0...6.283)
            let distance = radius * 0.75 * generator.uniform().squareRoot()
            let size = generator.number(0.008...0.02)
            let dot = frame.blob(distance * PhantomMath.cosine(angle), distance * PhantomMath.sine(angle), size, size)
            canvas.draw(dot, Paint(pigment.middle * 0.72).soft(2).opacity(0.7))
        }
    }

    private static func melanoma(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ radius: Double,
        _ pigment: Pigment,
        _ generator: inout SeededGenerator
    ) {
        let shape = frame.blob(0, 0, radius, radius * generator.number(0.72...0.9)).wobbled(0.26, &generator)
        let edge = radius * frame.scale * 0.14
        let paint = Paint(pigment.rim).soft(2.5).ragged(edge, frequency: 18).grain(26, frequency: 12)
        canvas.draw(shape, paint.depth(pigment.middle, pixels: radius * frame.scale * 0.5), name: "melanoma")
        let inside = shape.grown(-edge * 1.3)
        let colors: [PhantomColor] = [
            [128, 72, 44], [96, 104, 132], [30, 22, 24], [172, 104, 90], [150, 150, 168],
        ]
        for _ in 0..<6 {
            let angle = generator.number(0...6.283)
            let distance = radius * 0.6 * generator.uniform().squareRoot()
            let size = radius * generator.number(0.14...0.3)
            let patch = frame.blob(
                distance * PhantomMath.cosine(angle),
                distance * PhantomMath.sine(angle),
                size,
                size * generator.number(0.6...1),
                degrees: generator.number(0...180)
            ).wobbled(0.2, &generator)
            canvas.draw(
                Cutout(base: patch, within: inside),
                Paint(generator.pick(colors)).soft(6).opacity(generator.number(0.35...0.7)).grain(10, frequency: 30)
            )
        }
    }

    private static func hemangioma(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ radius: Double,
        _ pigment: Pigment,
        _ generator: inout SeededGenerator
    ) {
        let shape = frame.blob(0, 0, radius, radius * generator.number(0.82...1)).wobbled(0.04, &generator)
        canvas.draw(shape, Paint(pigment.rim).soft(4).grain(8, frequency: 20), name: "hemangioma")
        let inside = shape.grown(-2)
        for _ in 0..<26 {
            let angle = generator.number(0...6.283)
            let distance = radius * 0.85 * generator.uniform().squareRoot()
            let size = radius * generator.number(0.12...0.2)
            let lake = frame.blob(
                distance * PhantomMath.cosine(angle),
                distance * PhantomMath.sine(angle),
                size,
                size * 0.85
            ).wobbled(0.08, &generator)
            let paint = Paint(pigment.middle).soft(2).opacity(0.85).depth(pigment.middle * 0.8, pixels: 6)
            canvas.draw(Cutout(base: lake, within: inside), paint)
        }
    }

    /// A round calibration sticker in a corner away from the lesion.
    private static func patch(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ radius: Double,
        _ generator: inout SeededGenerator
    ) {
        let center = frame.point(0, 0)
        let half = Double(canvas.side) / 2
        let size = half * generator.number(0.18...0.25)
        let dx = (Double(center.x) > half ? -1.0 : 1.0)
        let dy = (Double(center.y) > half ? -1.0 : 1.0)
        let x = half + dx * (half - size * generator.number(0.9...1.25))
        let y = half + dy * (half - size * generator.number(0.9...1.25))
        let colors: [PhantomColor] = [[70, 170, 90], [240, 214, 70], [64, 120, 208], [240, 240, 240]]
        let sticker = Blob(x: x, y: y, radiusX: size, radiusY: size)
        canvas.draw(sticker, Paint(generator.pick(colors)).soft(1.5).grain(5, frequency: 20), name: "color patch")
    }

    private static func hairs(_ canvas: PhantomCanvas, _ generator: inout SeededGenerator) {
        let side = Double(canvas.side)
        let direction = generator.number(0...3.14)
        for _ in 0..<generator.integer(in: 5...9) {
            let angle = direction + generator.number(-0.5...0.5)
            let length = side * generator.number(0.45...0.9)
            let (x, y) = (generator.number(0...side), generator.number(0...side))
            let (dx, dy) = (PhantomMath.cosine(angle) * length / 2, PhantomMath.sine(angle) * length / 2)
            let bend = generator.number(-0.2...0.2)
            let hair = Stroke(
                from: SIMD2(Float(x - dx), Float(y - dy)),
                bend: SIMD2(Float(x - dy * bend), Float(y + dx * bend)),
                to: SIMD2(Float(x + dx), Float(y + dy)),
                width: side / 224 * generator.number(1.6...2.6),
                endWidth: side / 224 * 0.7,
                segments: 7
            )
            canvas.draw(hair, Paint([44, 30, 26]).soft(1.5).opacity(0.85))
        }
    }
}
