// fjord-evaluate: a model, or any tool's label images, scored on a split.
#pragma once

namespace fjord {

/// Returns the exit code. Throws Error.
int evaluate(int argc, char** argv);

}  // namespace fjord
