const viewer = document.querySelector("model-viewer");
const state = document.getElementById("viewer-state");
const download = document.getElementById("download");
const rotate = document.getElementById("rotate");

viewer.addEventListener("load", () => {
  state.hidden = true;
  rotate.hidden = false;
});
viewer.addEventListener("error", () => {
  state.textContent = "This browser cannot show the mesh: it may lack WebGL. The turntable is below.";
});
rotate.addEventListener("click", () => {
  viewer.autoRotate = !viewer.autoRotate;
  rotate.textContent = viewer.autoRotate ? "Stop turning" : "Turn";
});
const data = await fetch(viewer.src);
download.href = URL.createObjectURL(await data.blob());
download.hidden = false;
