// The page at /ui, as files inside of the program: what lies in this folder, compiled in, so that
// there is nothing to install and nothing that is fetched from elsewhere.
#ifndef DUET_GATEWAY_UI_UI_FILES_H_
#define DUET_GATEWAY_UI_UI_FILES_H_

#include <string_view>

namespace gateway::ui {

struct UiFile {
  std::string_view name;          // "app.js"
  std::string_view content_type;  // "text/javascript; charset=utf-8"
  std::string_view bytes;
  std::string_view gzip;  // the same, compressed; "" where that saves nothing (pictures)
};

// Null if there is none of this name. What it points at lives as long as the program.
const UiFile* FindUiFile(std::string_view name);

}  // namespace gateway::ui

#endif  // DUET_GATEWAY_UI_UI_FILES_H_
