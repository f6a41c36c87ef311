// Times in the reader's zone; the title has them in UTC, as the API gave them. The clock has 24 hours,
// as in the ladder, the records and the terminal.
const hours = { timeStyle: "medium", hourCycle: "h23" };
const clock = new Intl.DateTimeFormat(undefined, hours);
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", ...hours });
const zone = new Intl.DateTimeFormat(undefined, { hour: "numeric", timeZoneName: "short" });

export const here = Intl.DateTimeFormat().resolvedOptions().timeZone;

export function written(moment) {
  const at = new Date(moment);
  const isToday = at.toDateString() === new Date().toDateString();
  return (isToday ? clock : day).format(at);
}

function zoneAt(moment) {
  return zone.formatToParts(new Date(moment)).find((part) => part.type === "timeZoneName").value;
}

export function showTimes(within) {
  for (const element of within.querySelectorAll("time[datetime]")) {
    element.title = element.dateTime;
    element.textContent = written(element.dateTime);
    // A page with times in UTC beside them says which these are.
    if (element.closest(".facts")) element.textContent += ` ${zoneAt(element.dateTime)}`;
  }
  // A search for today, which is that of UTC without scripts.
  for (const element of within.querySelectorAll("[data-zone]")) element.textContent = "your time";
  for (const link of within.querySelectorAll("a[data-today]")) {
    const url = new URL(link.href);
    url.searchParams.set("tz", here);
    link.href = url.href;
  }
}

// A growing age in whole seconds, as `age` of offhook/wording/durations.py writes it.
export function age(seconds) {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole >= 172_800) return `${Math.floor(whole / 86_400)} days`;
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
