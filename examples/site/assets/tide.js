const period = 12.4206 * 3600 * 1000; // mean time between two high waters
const known = Date.UTC(2026, 0, 3, 5, 10);
const next = known + Math.ceil((Date.now() - known) / period) * period;
document.getElementById("tide").textContent = new Date(next).toLocaleTimeString([], { timeStyle: "short" });
