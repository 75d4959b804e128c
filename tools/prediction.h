// fjord-predict: images to masks, by one model or the average of several.
#pragma once

namespace fjord {

/// Returns the exit code. Throws Error.
int predict(int argc, char** argv);

}  // namespace fjord
