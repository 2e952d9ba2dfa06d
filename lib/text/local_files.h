// Addresses under which Label Studio serves files of its own disk:
// "/data/local-files/?d=in/a%20b.jpg", below its URL or as a path.
#ifndef DUET_TEXT_LOCAL_FILES_H_
#define DUET_TEXT_LOCAL_FILES_H_

#include <optional>
#include <string>
#include <string_view>

namespace text {

// "in/a b.jpg" of "http://host/data/local-files/?d=in/a%20b.jpg", as Label Studio reads it: a plus
// is a space, and of several fields `d` the last one counts. Nothing for any other address.
std::optional<std::string> LocalFileOf(std::string_view address);

// True if the address without its query is that of local files.
bool IsLocalFilesPath(std::string_view path);

}  // namespace text

#endif  // DUET_TEXT_LOCAL_FILES_H_
