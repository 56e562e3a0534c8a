import Foundation
import UniMedData

/// Magnetic resonance of the head: axial, coronal or sagittal, weighted by T1 or T2.
///
/// Fluid is dark and fat bright by T1; by T2 fluid is bright and grey matter brighter than white.
enum MRHeadPhantom: PhantomPainter {
    /// The grey levels of the tissues under a weighting.
    private struct Contrast {
        let name: String
        let scalp: Double
        let bone: Double
        let fluid: Double
        let gray: Double
        let white: Double
        let muscle: Double

        static let t1 = Contrast(name: "T1", scalp: 222, bone: 26, fluid: 34, gray: 112, white: 166, muscle: 96)
        static let t2 = Contrast(name: "T2", scalp: 150, bone: 18, fluid: 238, gray: 138, white: 84, muscle: 58)
    }

    private enum View: String, CaseIterable {
        case axial
        case coronal
        case sagittal
    }

    static func background(_ generator: inout SeededGenerator) -> PhantomColor { PhantomColor(repeating: 5) }

    static func paint(on canvas: PhantomCanvas, _ generator: inout SeededGenerator) -> PhantomScene {
        let view = generator.pick(View.allCases)
        let contrast = generator.chance(0.5) ? Contrast.t1 : Contrast.t2
        let frame = PhantomFrame.random(
            side: canvas.side,
            width: view == .sagittal ? 0.86 : 0.7,
            height: 0.85,
            zoom: 0.78...1.08,
            tilt: view == .sagittal ? 0.15 : 0.25,
            overhang: 0.06,
            generator: &generator
        )
        let brain: Blob
        switch view {
        case .axial: brain = axial(canvas, frame, contrast, &generator)
        case .coronal: brain = coronal(canvas, frame, contrast, &generator)
        case .sagittal: brain = sagittal(canvas, frame, contrast, &generator)
        }
        canvas.addNoise(5, frequency: 8)
        let hasTumor = generator.chance(0.5)
        let isRight = generator.chance(0.5)
        if hasTumor { tumor(canvas, frame, contrast, view, brain, isRight: isRight, &generator) }
        // Receiver coils see one side a little brighter.
        canvas.addGradient(generator.number(0...26), angle: generator.number(0...6.283))
        return scene(view, contrast, hasTumor: hasTumor, isRight: isRight, &generator)
    }

    private static func scene(
        _ view: View,
        _ contrast: Contrast,
        hasTumor: Bool,
        isRight: Bool,
        _ generator: inout SeededGenerator
    ) -> PhantomScene {
        let side = isRight ? "right" : "left"
        var questions = [
            PhantomQuestion(.modality, "Which imaging modality is this?", "MR"),
            PhantomQuestion(.region, "Which part of the body is shown?", "head"),
            PhantomQuestion(.plane, "In which plane is this image?", view.rawValue),
            PhantomQuestion(
                .weighting,
                "Is this image T1 or T2 weighted?",
                contrast.name,
                choices: ["T1", "T2"]
            ),
            .presence("Is there a tumor in the brain?", hasTumor),
        ]
        var details = ["weighting": contrast.name]
        var report = "\(view.rawValue.capitalized) \(contrast.name) weighted MR of the head. "
        if hasTumor && view != .sagittal {
            questions.append(
                PhantomQuestion(.side, "Which hemisphere contains the tumor?", side, choices: ["left", "right"])
            )
            details["side"] = side
            report += "There is a brain tumor in the \(side) hemisphere."
        } else if hasTumor {
            report += "There is a brain tumor."
        } else {
            report += "The brain is normal and no tumor is seen."
        }
        return PhantomScene(
            modality: "MR",
            region: "head",
            plane: view.rawValue,
            finding: hasTumor ? .brainTumor : .normalBrain,
            details: details,
            questions: questions,
            report: report,
            noise: generator.number(3...7)
        )
    }

    /// Scalp, bone, fluid, grey and white matter, one inside the other.
    private static func layers(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ contrast: Contrast,
        head: Blob,
        brain: Blob
    ) {
        canvas.draw(head, Paint(gray: contrast.scalp).grain(14, frequency: 30))
        canvas.draw(brain.grown(0.055 * frame.scale), Paint(gray: contrast.bone).soft(1.5))
        canvas.draw(brain.grown(0.012 * frame.scale), Paint(gray: contrast.fluid).soft(1.5))
        // The named brain is the smooth outline; its folds are drawn over it.
        let folds = 0.03 * frame.scale
        canvas.draw(brain, Paint(gray: contrast.fluid), name: "brain")
        canvas.draw(
            brain.grown(-folds * 0.3),
            Paint(gray: contrast.gray).ragged(folds, frequency: 17).grain(6, frequency: 20)
        )
        canvas.draw(
            brain.grown(-0.1 * frame.scale),
            Paint(gray: contrast.white).soft(2.5).ragged(0.085 * frame.scale, frequency: 15).grain(5, frequency: 14)
        )
    }

    private static func axial(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ contrast: Contrast,
        _ generator: inout SeededGenerator
    ) -> Blob {
        let head = frame.blob(0, 0, 0.69, 0.84).harmonic(1, sine: 0.02).wobbled(0.015, &generator)
        let brain = frame.blob(0, 0, 0.575, 0.715).harmonic(1, sine: 0.02).wobbled(0.012, &generator)
        layers(canvas, frame, contrast, head: head, brain: brain)
        let fluid = Paint(gray: contrast.fluid)
        for y in [-1.0, 1.0] {
            let cleft = frame.stroke((0, y * 0.7), bend: (0.01, y * 0.5), (0, y * 0.3), width: 0.028, endWidth: 0.014)
            canvas.draw(cleft, fluid.soft(1.5))
        }
        for side in [-1.0, 1.0] {
            let nucleus = frame.blob(side * 0.17, 0.02, 0.085, 0.15, degrees: side * -14)
            canvas.draw(nucleus, Paint(gray: contrast.gray).soft(3).grain(5, frequency: 24))
        }
        let width = generator.number(0.85...1.35)
        let horns = [-1.0, 1.0].flatMap { side in
            [
                frame.blob(side * 0.075, -0.17, 0.05 * width, 0.17, degrees: side * 15),
                frame.blob(side * 0.11, 0.2, 0.05 * width, 0.17, degrees: side * -18),
                frame.blob(side * 0.06, 0.02, 0.034 * width, 0.12),
            ]
        }
        canvas.draw(BlobUnion(blobs: horns), fluid.soft(1.5), name: "ventricles")
        return brain
    }

    private static func coronal(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ contrast: Contrast,
        _ generator: inout SeededGenerator
    ) -> Blob {
        let neck = frame.blob(0, 1.1, 0.46, 0.95).harmonic(4, cosine: -0.04)
        canvas.draw(neck, Paint(gray: contrast.scalp).grain(14, frequency: 30))
        canvas.draw(neck.grown(-0.05 * frame.scale), Paint(gray: contrast.muscle).soft(2).grain(24, frequency: 14))
        let head = frame.blob(0, -0.1, 0.68, 0.72).harmonic(2, cosine: 0.02).wobbled(0.015, &generator)
        let brain = frame.blob(0, -0.15, 0.565, 0.555).harmonic(3, sine: -0.03).wobbled(0.012, &generator)
        layers(canvas, frame, contrast, head: head, brain: brain)
        let fluid = Paint(gray: contrast.fluid)
        canvas.draw(
            frame.stroke((0, -0.7), bend: (0.01, -0.5), (0, -0.34), width: 0.028, endWidth: 0.014),
            fluid.soft(1.5)
        )
        for side in [-1.0, 1.0] {
            let fissure = frame.stroke(
                (side * 0.55, -0.02),
                bend: (side * 0.4, -0.06),
                (side * 0.3, 0.06),
                width: 0.032,
                endWidth: 0.016
            )
            canvas.draw(fissure, fluid.soft(1.5))
            let nucleus = frame.blob(side * 0.17, -0.02, 0.09, 0.1)
            canvas.draw(nucleus, Paint(gray: contrast.gray).soft(3).grain(5, frequency: 24))
        }
        let tent = [-1.0, 1.0].map {
            frame.blob($0 * 0.2, 0.33, 0.2, 0.12, degrees: $0 * -16).wobbled(0.03, &generator)
        }
        for lobe in tent { canvas.draw(lobe.grown(0.018 * frame.scale), fluid.soft(2)) }
        for lobe in tent { canvas.draw(lobe, Paint(gray: contrast.gray).soft(1.5).grain(30, frequency: 34)) }
        let stem = frame.blob(0, 0.36, 0.085, 0.2).harmonic(1, sine: -0.12)
        canvas.draw(stem.grown(0.014 * frame.scale), fluid.soft(3).opacity(0.7))
        canvas.draw(stem, Paint(gray: contrast.white).soft(1.5).grain(5, frequency: 24), name: "brainstem")
        let width = generator.number(0.85...1.35)
        let horns =
            [-1.0, 1.0].map { side in frame.blob(side * 0.105, -0.22, 0.05 * width, 0.15, degrees: side * 38) }
            + [frame.blob(0, -0.03, 0.022 * width, 0.11)]
        canvas.draw(BlobUnion(blobs: horns), fluid.soft(1.5), name: "ventricles")
        return brain
    }

    private static func sagittal(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ contrast: Contrast,
        _ generator: inout SeededGenerator
    ) -> Blob {
        let flesh = Paint(gray: contrast.muscle).soft(2).grain(18, frequency: 18)
        let skin = Paint(gray: contrast.scalp).grain(14, frequency: 30)
        // The face looks to the left of the picture.
        canvas.draw(frame.blob(0.2, 1.2, 0.36, 1.1, degrees: -6), skin)
        canvas.draw(frame.blob(-0.74, 0.24, 0.11, 0.1, degrees: 35), skin)
        let face = frame.blob(-0.42, 0.34, 0.34, 0.46, degrees: 8).harmonic(3, cosine: 0.05)
        canvas.draw(face, skin)
        canvas.draw(face.grown(-0.05 * frame.scale), flesh)
        canvas.draw(frame.blob(0.2, 1.2, 0.305, 1.1, degrees: -6), flesh)
        canvas.draw(frame.blob(-0.45, 0.5, 0.22, 0.1, degrees: 6), Paint(gray: contrast.muscle * 1.3).soft(3))
        canvas.draw(frame.blob(-0.45, 0.26, 0.2, 0.1).wobbled(0.1, &generator), Paint(gray: 12).soft(2))
        canvas.draw(frame.blob(-0.12, 0.6, 0.05, 0.3, degrees: -12), Paint(gray: 12).soft(2))
        let head = frame.blob(0.02, -0.14, 0.8, 0.68).harmonic(1, cosine: 0.03).wobbled(0.015, &generator)
        let brain = frame.blob(0.03, -0.18, 0.68, 0.53).harmonic(2, sine: 0.02).harmonic(3, sine: -0.04)
            .wobbled(0.012, &generator)
        layers(canvas, frame, contrast, head: head, brain: brain)
        let fluid = Paint(gray: contrast.fluid)
        canvas.draw(frame.blob(-0.02, -0.07, 0.24, 0.075, degrees: 6), fluid.soft(2))
        canvas.draw(frame.blob(0.0, 0.02, 0.15, 0.09), Paint(gray: contrast.gray).soft(3))
        let callosum = frame.stroke((-0.33, -0.04), bend: (-0.06, -0.4), (0.32, -0.05), width: 0.085, endWidth: 0.1)
        let bright = contrast.name == "T1" ? 206.0 : 62.0
        canvas.draw(callosum, Paint(gray: bright).soft(1.5), name: "corpus callosum")
        // Fluid first, so that no part is ringed where it joins the next.
        let stem = frame.blob(0.12, 0.17, 0.105, 0.19, degrees: -8).harmonic(1, cosine: -0.08)
        let cerebellum = frame.blob(0.43, 0.23, 0.215, 0.17, degrees: -12).wobbled(0.03, &generator)
        let canal = frame.stroke((0.15, 0.28), bend: (0.19, 0.6), (0.25, 1.1), width: 0.16, endWidth: 0.13)
        canvas.draw(canal, fluid.soft(2))
        canvas.draw(stem.grown(0.025 * frame.scale), fluid.soft(3).opacity(0.8))
        canvas.draw(cerebellum.grown(0.022 * frame.scale), fluid.soft(2).opacity(0.9))
        let white = Paint(gray: contrast.white).soft(1.5).grain(5, frequency: 24)
        canvas.draw(frame.stroke((0.14, 0.24), bend: (0.19, 0.6), (0.25, 1.1), width: 0.1, endWidth: 0.075), white)
        canvas.draw(stem, white, name: "brainstem")
        canvas.draw(
            cerebellum,
            Paint(gray: contrast.gray).soft(1.5).grain(34, frequency: 34),
            name: "cerebellum"
        )
        return brain
    }

    private static func tumor(
        _ canvas: PhantomCanvas,
        _ frame: PhantomFrame,
        _ contrast: Contrast,
        _ view: View,
        _ brain: Blob,
        isRight: Bool,
        _ generator: inout SeededGenerator
    ) {
        let radius = generator.number(0.14...0.22)
        var x = 0.0
        var y = 0.0
        switch view {
        case .axial:
            // The patient's right is at the left of the picture.
            x = (isRight ? -1 : 1) * generator.number(0.2...0.34)
            y = generator.number(-0.38...0.38)
        case .coronal:
            x = (isRight ? -1 : 1) * generator.number(0.2...0.34)
            y = generator.number(-0.4...0.02)
        case .sagittal:
            x = generator.number(-0.38...0.42)
            y = generator.number(-0.42 ... -0.16)
        }
        let mass = frame.blob(x, y, radius, radius * generator.number(0.8...1.2), degrees: generator.number(0...180))
            .wobbled(0.1, &generator)
        let isT1 = contrast.name == "T1"
        let edema = Paint(gray: isT1 ? 84 : 196).soft(5).opacity(0.75).ragged(0.05 * frame.scale, frequency: 12)
        canvas.draw(Cutout(base: mass.grown(0.07 * frame.scale), within: brain.grown(-2)), edema)
        let rim = Paint(gray: isT1 ? 246 : 120)
            .depth(PhantomColor(repeating: isT1 ? 62 : 250), pixels: 0.07 * frame.scale)
        let shape = Cutout(base: mass, within: brain)
        canvas.draw(shape, rim.soft(1.5).grain(10, frequency: 36), name: "brain tumor")
    }
}
